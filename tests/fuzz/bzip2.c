/* SPDX-License-Identifier: Apache-2.0 */
/* bzip2.c - any bytes as a bzip2 file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER bzip2_container
#include "container.h"
