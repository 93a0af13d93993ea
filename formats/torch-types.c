/* SPDX-License-Identifier: Apache-2.0 */
/* torch-types.c - the names torch has for types */
#include "torch.h"

#include <string.h>

static const struct {
	const char *name; /* before "Storage" */
	uint8_t dtype;    /* NONE: we have no such type */
	uint8_t item;
} classes[] = {
	{ "Double", DTYPE_F64, 8 }, { "Float", DTYPE_F32, 4 }, { "Half", DTYPE_F16, 2 },
	{ "BFloat16", DTYPE_BF16, 2 }, { "Long", DTYPE_I64, 8 }, { "Int", DTYPE_I32, 4 },
	{ "Short", DTYPE_I16, 2 }, { "Char", DTYPE_I8, 1 }, { "Byte", DTYPE_U8, 1 },
	{ "Bool", DTYPE_BOOL, 1 }, { "ComplexDouble", DTYPE_C128, 16 },
	{ "ComplexFloat", DTYPE_C64, 8 }, { "QInt8", DTYPE_QI8, 1 }, { "QUInt8", DTYPE_QU8, 1 },
	{ "QInt32", DTYPE_QI32, 4 }, { "QUInt4x2", DTYPE_QU4, 1 }, { "QUInt2x4", DTYPE_NONE, 1 },
	{ "Untyped", DTYPE_U8, 1 }, { "_Untyped", DTYPE_U8, 1 },
	/* Only TorchScript's pickler has classes for these. */
	{ "UInt16", DTYPE_U16, 2 }, { "UInt32", DTYPE_U32, 4 }, { "UInt64", DTYPE_U64, 8 },
	{ "Float8_e4m3fn", DTYPE_F8_E4M3, 1 }, { "Float8_e5m2", DTYPE_F8_E5M2, 1 },
	{ "Float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ, 1 }, { "Float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ, 1 },
	{ "Float8_e8m0fnu", DTYPE_F8_E8M0, 1 }, { "Float4_e2m1fn_x2", DTYPE_F4, 1 },
	{ "ComplexHalf", DTYPE_NONE, 4 },
};

static const struct {
	const char *name;
	uint8_t dtype;
} types[] = {
	{ "float32", DTYPE_F32 }, { "float", DTYPE_F32 }, { "float64", DTYPE_F64 },
	{ "double", DTYPE_F64 }, { "float16", DTYPE_F16 }, { "half", DTYPE_F16 },
	{ "bfloat16", DTYPE_BF16 }, { "float8_e4m3fn", DTYPE_F8_E4M3 },
	{ "float8_e5m2", DTYPE_F8_E5M2 }, { "float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ },
	{ "float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ }, { "float8_e8m0fnu", DTYPE_F8_E8M0 },
	{ "float4_e2m1fn_x2", DTYPE_F4 }, { "uint8", DTYPE_U8 }, { "int8", DTYPE_I8 },
	{ "int16", DTYPE_I16 }, { "short", DTYPE_I16 }, { "int32", DTYPE_I32 },
	{ "int", DTYPE_I32 }, { "int64", DTYPE_I64 }, { "long", DTYPE_I64 },
	{ "uint16", DTYPE_U16 }, { "uint32", DTYPE_U32 }, { "uint64", DTYPE_U64 },
	{ "bool", DTYPE_BOOL }, { "complex64", DTYPE_C64 }, { "cfloat", DTYPE_C64 },
	{ "complex128", DTYPE_C128 }, { "cdouble", DTYPE_C128 }, { "qint8", DTYPE_QI8 },
	{ "quint8", DTYPE_QU8 }, { "qint32", DTYPE_QI32 }, { "quint4x2", DTYPE_QU4 },
};

/* The name of a global of torch or a module in it; NULL if it is another's. */
static const char *torch_name(const struct value *global)
{
	size_t n;

	if (!global || global->kind != VALUE_GLOBAL)
		return NULL;
	n = value_module_size(global);
	if (n < 5 || memcmp(global->s, "torch", 5) != 0 || (n > 5 && global->s[5] != '.'))
		return NULL;
	return value_name(global);
}

enum dtype torch_storage_dtype(const struct value *global, uint32_t *ret_item)
{
	const char *name = torch_name(global);
	size_t n = name ? strlen(name) : 0, tail = strlen("Storage");

	*ret_item = 0;
	if (n <= tail || strcmp(name + n - tail, "Storage") != 0)
		return DTYPE_NONE;
	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
		if (strlen(classes[i].name) == n - tail &&
		    memcmp(classes[i].name, name, n - tail) == 0) {
			*ret_item = classes[i].item;
			return classes[i].dtype;
		}
	return DTYPE_NONE;
}

enum dtype torch_dtype(const struct value *global)
{
	const char *name = torch_name(global);

	for (size_t i = 0; name && i < sizeof types / sizeof types[0]; i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].dtype;
	return DTYPE_NONE;
}
