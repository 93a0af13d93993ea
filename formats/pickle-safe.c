/* SPDX-License-Identifier: Apache-2.0 */
/* pickle-safe.c - the globals that checkpoints are made of
 *
 * What unpickling these calls makes data and touches nothing else.  A list of
 * what is known to be harmless, because one of what is dangerous is never
 * whole.  A name with a dot is looked up attribute by attribute (protocol 4:
 * "torch.nn" and "os.system" would be os.system), so such names are never
 * harmless.
 */
#include <string.h>

#include "../cache/cleanup.h"
#include "pickle.h"

/* module, names of it between blanks */
static const struct {
	const char *module, *names;
} exact[] = {
	{ "builtins", " list tuple dict set frozenset bytes bytearray complex object int float "
		      "bool str slice range NoneType Ellipsis NotImplemented " },
	{ "__builtin__", " list tuple dict set frozenset bytes bytearray complex object int long "
			 "float bool str unicode slice xrange NoneType " },
	{ "_codecs", " encode " },
	{ "copyreg", " _reconstructor __newobj__ __newobj_ex__ " },
	{ "copy_reg", " _reconstructor __newobj__ __newobj_ex__ " },
	{ "collections", " OrderedDict defaultdict Counter deque UserDict UserList ChainMap " },
	{ "UserDict", " UserDict IterableUserDict " },
	{ "types", " SimpleNamespace NoneType MappingProxyType " },
	{ "argparse", " Namespace " },
	{ "datetime", " datetime date time timedelta timezone " },
	{ "decimal", " Decimal " },
	{ "fractions", " Fraction " },
	{ "uuid", " UUID SafeUUID " },
	{ "pytz", " _UTC " },
	{ "pathlib", " Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath " },
	{ "pathlib._local", " Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath " },
	{ "numpy", " dtype ndarray matrix float16 float32 float64 float_ longdouble int8 int16 "
		   "int32 int64 int_ intc longlong uint8 uint16 uint32 uint64 bool bool_ "
		   "complex64 complex128 str_ bytes_ void object_ datetime64 timedelta64 recarray record memmap " },
	{ "numpy.core.multiarray", " _reconstruct scalar " },
	{ "numpy._core.multiarray", " _reconstruct scalar " },
	{ "numpy.core.numeric", " _frombuffer " },
	{ "numpy._core.numeric", " _frombuffer " },
	{ "numpy.matrixlib.defmatrix", " matrix " },
	{ "numpy.ma", " MaskedArray " },
	{ "numpy.ma.core", " MaskedArray _mareconstruct " },
	{ "numpy.random._pickle", " __randomstate_ctor __generator_ctor __bit_generator_ctor " },
	{ "numpy.random", " __RandomState_ctor " },
	{ "numpy.random._mt19937", " MT19937 " },
	{ "numpy.random._pcg64", " PCG64 PCG64DXSM " },
	{ "numpy.random._philox", " Philox " },
	{ "numpy.random._sfc64", " SFC64 " },
	{ "numpy.random.bit_generator", " SeedSequence " },
	{ "ml_dtypes", " bfloat16 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
		       "float8_e8m0fnu int4 uint4 " },
	{ "scipy.sparse", " csr_matrix csc_matrix coo_matrix csr_array csc_array coo_array " },
	{ "scipy.sparse._csr", " csr_matrix csr_array " },
	{ "scipy.sparse._csc", " csc_matrix csc_array " },
	{ "scipy.sparse._coo", " coo_matrix coo_array " },
	{ "scipy.sparse.csr", " csr_matrix " },
	{ "scipy.sparse.csc", " csc_matrix " },
	{ "torch", " Size Tensor device dtype layout memory_format Generator "
		   "float16 float32 float64 bfloat16 half float double int8 int16 int32 int64 "
		   "uint8 uint16 uint32 uint64 uint1 uint2 uint3 uint4 uint5 uint6 uint7 int1 "
		   "int2 int3 int4 int5 int6 int7 bool complex32 complex64 complex128 cfloat "
		   "cdouble float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
		   "float8_e8m0fnu float4_e2m1fn_x2 qint8 quint8 qint32 quint4x2 quint2x4 bits8 "
		   "bits16 bits1x8 bits2x4 bits4x2 strided sparse_coo sparse_csr sparse_csc "
		   "sparse_bsr sparse_bsc contiguous_format preserve_format channels_last "
		   "channels_last_3d per_tensor_affine per_channel_affine per_tensor_symmetric "
		   "per_channel_symmetric per_channel_affine_float_qparams " },
	{ "torch._utils", " _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 "
			  "_rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor "
			  "_rebuild_sparse_tensor _rebuild_sparse_csr_tensor "
			  "_rebuild_nested_tensor _rebuild_meta_tensor_no_storage "
			  "_rebuild_device_tensor_from_numpy "
			  "_rebuild_device_tensor_from_cpu_tensor _rebuild_wrapper_subclass "
			  "_rebuild_xla_tensor " },
	{ "torch._tensor", " _rebuild_from_type_v2 _rebuild_from_type Tensor " },
	{ "torch.tensor", " _rebuild_from_type Tensor " },
	{ "torch.storage", " TypedStorage UntypedStorage _TypedStorage _UntypedStorage "
			   /* not _load_from_bytes: that unpickles its bytes */ },
	{ "torch.serialization", " _get_layout " },
	{ "torch.autograd.variable", " Variable " },
	{ "torch.backends.cudnn.rnn", " Unserializable " },
	{ "torch.nn.parameter", " Parameter Buffer UninitializedParameter UninitializedBuffer " },
	{ "torch.nn.functional", " relu gelu silu elu selu celu leaky_relu softmax log_softmax "
				 "sigmoid tanh softplus hardtanh hardswish mish glu " },
	{ "torch._C._nn", " gelu silu mish " },
	{ "torch.nn.backends.thnn", " _get_thnn_function_backend " },
	{ "torch.jit._pickle", " build_intlist build_tensorlist build_doublelist build_boollist "
			       "build_tensor_from_id restore_type_tag " },
	{ "jax._src.array", " _reconstruct_array " },
	{ "joblib.numpy_pickle", " NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper " },
	{ "joblib.numpy_pickle_compat", " NDArrayWrapper ZNDArrayWrapper " },
	{ "sklearn.externals.joblib.numpy_pickle",
	  " NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper " },
	{ "torch.distributed.checkpoint.metadata",
	  " Metadata TensorStorageMetadata BytesStorageMetadata ChunkStorageMetadata "
	  "TensorProperties MetadataIndex StorageMeta _MEM_FORMAT_ENCODING " },
	{ "torch.distributed.checkpoint.filesystem", " _StorageInfo _StoragePrefix " },
};

/* Packages whose classes are plain: layers and optimizers.  Constructing one, or
 * giving it a state, reads and writes nothing. */
static const char *const packages[] = {
	"torch.nn.modules.", "torch.nn.quantized.", "torch.nn.intrinsic.", "torch.nn.qat.",
	"torch.nn.quantizable.", "torch.ao.nn.", "torch.optim.", "torchvision.models.",
	"torchvision.ops.",
	"__torch__.", /* TorchScript's: no module of Python */
};

/* Modules with a class for each type of number: FloatStorage, FloatTensor. */
static const char *const storages[] = {
	"torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse",
};

/* "Linear", "_NormBase": a class by the look of it.  Modules hold functions and
 * modules that they imported too, and those begin with a small letter. */
static bool is_class_name(const char *s)
{
	s += *s == '_';
	if (*s < 'A' || *s > 'Z')
		return false;
	return !strpbrk(s, ". ");
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), e = strlen(end);

	return n > e && !strcmp(s + n - e, end);
}

/* Is name one of names, each between blanks? */
static bool is_listed(const char *names, const char *name)
{
	size_t n = strlen(name);

	if (!n || strchr(name, ' '))
		return false;
	for (const char *p = names; (p = strstr(p, name)); p++)
		if (p[-1] == ' ' && p[n] == ' ')
			return true;
	return false;
}

bool pickle_unsafe(const char *module, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (!strcmp(module, exact[i].module) && is_listed(exact[i].names, name))
			return false;
	if (!is_class_name(name))
		return true;
	if (!strcmp(module, "__torch__"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		if (!strncmp(module, packages[i], strlen(packages[i])))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(storages); i++)
		if (!strcmp(module, storages[i]) &&
		    (ends_with(name, "Storage") || ends_with(name, "Tensor")))
			return false;
	return true;
}
