/* SPDX-License-Identifier: Apache-2.0 */
/* joblib.c - arrays as joblib puts them into pickles */
#include "joblib.h"

#include <inttypes.h>

#include "checkpoint-walk.h"
#include "numpy.h"
#include "../cache/error.h"

/* A class of joblib's, by itself or as scikit-learn had it. */
static const char *class_name(const struct value *v)
{
	static const char *const modules[] = {
		"joblib.numpy_pickle", "joblib.numpy_pickle_compat",
		"sklearn.externals.joblib.numpy_pickle",
		"sklearn.externals.joblib.numpy_pickle_compat",
	};
	const struct value *class;
	size_t n;

	if (v->kind != VALUE_RECORD || !v->record->callable ||
	    v->record->callable->kind != VALUE_GLOBAL)
		return NULL;
	class = v->record->callable;
	n = value_module_size(class);
	for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++)
		if (strlen(modules[i]) == n && !memcmp(modules[i], class->s, n))
			return value_name(class);
	return NULL;
}

/* How many bytes the array takes; false: no such number. */
static bool array_size(const struct value *shape, uint64_t item, uint64_t *ret)
{
	int64_t dim;
	bool none = false;

	if (!shape || shape->kind != VALUE_TUPLE)
		return false;
	*ret = item;
	for (uint32_t i = 0; i < shape->n; i++) {
		if (!value_to_int(shape->items[i], &dim) || dim < 0)
			return false;
		none |= !dim;
		if (dim && __builtin_mul_overflow(*ret, (uint64_t)dim, ret))
			return false;
	}
	if (none)
		*ret = 0;
	return true;
}

static int inline_array(const struct value *map, struct range src, uint64_t at,
			struct joblib *ret, struct error *err)
{
	const struct value *align = value_get(map, "numpy_array_alignment_bytes");
	const struct value *order = value_get(map, "order");
	uint64_t item, size;
	uint8_t padding = 0;
	bool objects;
	int r;

	ret->shape = value_get(map, "shape");
	ret->dtype = value_get(map, "dtype");
	ret->fortran = order && value_is_string(order, "F");
	if (!ret->dtype || !numpy_item(ret->dtype, &item, &objects))
		return fail(err, EOPNOTSUPP, "an array of joblib's at byte %" PRIu64
			    " is of a type whose size is not known", at);
	if (objects) {
		ret->kind = JOBLIB_OBJECTS;
		return 0;
	}
	if (!array_size(ret->shape, item, &size))
		return fail(err, EBADMSG, "an array of joblib's at byte %" PRIu64 " has no size", at);
	if (align && align->kind != VALUE_NULL) {
		r = range_read_all(src, at, 1, &padding, err);
		if (r < 0)
			return r;
		ret->skip = 1u + padding;
	}
	if (!range_has(src, at, ret->skip) || size > src.size - at - ret->skip)
		return fail(err, EBADMSG, "an array of joblib's at byte %" PRIu64 " has %" PRIu64
			    " bytes, %" PRIu64 " are left in the file;"
			    " it may still be being written", at, size, src.size - at);
	ret->data = range_sub(src, at + ret->skip, size);
	ret->skip += size;
	ret->kind = JOBLIB_INLINE;
	return 0;
}

static int array_beside(const struct value *map, bool packed, struct joblib *ret, struct error *err)
{
	const struct value *file = value_get(map, "filename"), *state = value_get(map, "state");

	if (!file || file->kind != VALUE_STRING || strlen(file->s) != file->n)
		return fail(err, EBADMSG, "an array of joblib's has no file");
	ret->file = file->s;
	ret->kind = JOBLIB_NPY;
	if (!packed)
		return 0;
	if (!state || state->kind != VALUE_TUPLE || state->n != 4)
		return fail(err, EBADMSG, "an array of joblib's has no shape");
	ret->shape = state->items[1];
	ret->dtype = state->items[2];
	ret->fortran = (state->items[3]->kind == VALUE_BOOL || state->items[3]->kind == VALUE_INT) &&
		       state->items[3]->i;
	ret->kind = JOBLIB_ZFILE;
	return 0;
}

int joblib_array(const struct value *v, struct range src, uint64_t at, struct joblib *ret,
		 struct error *err)
{
	const char *name = class_name(v);
	const struct value *map = name ? attributes_of(v) : NULL;

	*ret = (struct joblib){ .kind = JOBLIB_NONE };
	if (!map)
		return 0;
	if (!strcmp(name, "NumpyArrayWrapper"))
		return inline_array(map, src, at, ret, err);
	if (!strcmp(name, "NDArrayWrapper") || !strcmp(name, "ZNDArrayWrapper"))
		return array_beside(map, *name == 'Z', ret, err);
	return 0;
}

bool joblib_is(const uint8_t *first, size_t n)
{
	static const char name[] = "joblib.numpy_pickle";

	return memmem(first, n, name, sizeof name - 1) != NULL;
}
