/* SPDX-License-Identifier: Apache-2.0 */
/* xz.c - any bytes as a xz file: container.h says what is done with them */
#include "../../cache/stream.h"

#define CONTAINER xz_container
#include "container.h"
