/* SPDX-License-Identifier: Apache-2.0 */
/* zlib.c - any bytes as a zlib file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER zlib_container
#include "container.h"
