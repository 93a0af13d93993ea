/* SPDX-License-Identifier: Apache-2.0 */
/* zstd.c - any bytes as a zstd file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER zstd_container
#include "container.h"
