/* SPDX-License-Identifier: Apache-2.0 */
/* banned.h - functions that are compile errors here (the build includes this
 * file before every source): they cannot say how much room there is, or they
 * cannot say that a number was not one. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef strcpy
#define strcpy(d, s) banned_strcpy_use_memcpy_or_arena_string
#undef strncpy
#define strncpy(d, s, n) banned_strncpy_use_memcpy_or_arena_string
#undef strcat
#define strcat(d, s) banned_strcat_use_text_add
#undef strncat
#define strncat(d, s, n) banned_strncat_use_text_add
#undef sprintf
#define sprintf(...) banned_sprintf_use_snprintf
#undef vsprintf
#define vsprintf(...) banned_vsprintf_use_vsnprintf
#undef strtok
#define strtok(s, d) banned_strtok_use_strtok_r
#undef atoi
#define atoi(s) banned_atoi_use_strtol
#undef atol
#define atol(s) banned_atol_use_strtol
