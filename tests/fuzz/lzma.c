/* SPDX-License-Identifier: Apache-2.0 */
/* lzma.c - any bytes as a lzma file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER lzma_container
#include "container.h"
