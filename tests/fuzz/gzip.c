/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.c - any bytes as a gzip file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER gzip_container
#include "container.h"
