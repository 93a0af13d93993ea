/* SPDX-License-Identifier: Apache-2.0 */
/* ggml-grids.h - the points that the IQ types' numbers are chosen from */
#pragma once
#include <stdint.h>

extern const uint16_t ggml_grid_iq2_xxs[256], ggml_grid_iq2_xs[512], ggml_grid_iq2_s[1024];
extern const uint16_t ggml_grid_iq3_xxs[256], ggml_grid_iq3_s[512];
extern const uint16_t ggml_grid_iq1[2048];
