/* SPDX-License-Identifier: Apache-2.0 */
/* lz4.c - any bytes as a lz4 file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER lz4_container
#include "container.h"
