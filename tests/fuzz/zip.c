/* SPDX-License-Identifier: Apache-2.0 */
/* zip.c - any bytes as a zip */
#include "../../cache/zip.h"

#define CONTAINER zip_container
#include "container.h"
