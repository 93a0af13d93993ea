/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.h - GGUF's type numbers, shared by what reads and what writes it */
#pragma once
#include <stdint.h>
#include "dtype.h"

/* The dtype of a ggml type number; DTYPE_NONE: unknown or removed. */
enum dtype gguf_dtype(uint64_t type);

enum gguf_kind { /* of a key's value */
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
	GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_KINDS
};

/* tokenizer.ggml.token_type */
enum gguf_token { GGUF_NORMAL = 1, GGUF_UNKNOWN, GGUF_CONTROL, GGUF_USER_DEFINED, GGUF_UNUSED,
		  GGUF_BYTE };
