"""BLAS and LAPACK by pointer: calls that release the GIL, for `linalg` alone.

scipy's own wrappers hold the GIL for the whole call, so that nothing else of the process
moves while a large matrix is factored: no reading ahead, no progress, no signal. The same
routines, called through the pointers that scipy exports for Cython, let go of it.

Everything here has Fortran's conventions: arguments by reference, matrices by columns. The
callers check shapes, layouts and results.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

Real = NDArray[Any]

_PREFIX = {np.dtype(np.float32): "s", np.dtype(np.float64): "d"}
_SCALAR = {np.dtype(np.float32): ctypes.c_float, np.dtype(np.float64): ctypes.c_double}

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_signature = ctypes.pythonapi.PyCapsule_GetName
_signature.restype = ctypes.c_char_p
_signature.argtypes = [ctypes.py_object]


@cache
def _routine(name: str) -> Any:
    """The routine of that name, e.g. `spotrf`, as a function of pointers."""
    for library in (cython_blas, cython_lapack):
        capsule = library.__pyx_capi__.get(name)
        if capsule is not None:
            signature = _signature(capsule)
            if b"int *" not in signature:
                raise ImportError(f"scipy's {name} takes other integers than C's int")
            n_arguments = signature.count(b",") + 1
            prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)
            return prototype(_pointer(capsule, signature))
    raise ImportError(f"scipy does not export {name}")


def _reference(value: Any, scalar: Any) -> Any:
    """One argument as Fortran wants it: an address."""
    if isinstance(value, np.ndarray):
        return value.ctypes.data
    if isinstance(value, bytes):
        return ctypes.cast(ctypes.c_char_p(value), ctypes.c_void_p)
    if isinstance(value, float):
        return ctypes.byref(scalar(value))
    if isinstance(value, int):
        return ctypes.byref(ctypes.c_int(value))
    return ctypes.byref(value)


def call(name: str, *arguments: Any) -> None:
    """Call a routine without its letter of type, which the first array decides.

    bytes are characters, int C ints, float scalars of the arrays' type, arrays the addresses
    of their first elements. Raises OverflowError for sizes beyond 32 bits.
    """
    kind = next(a.dtype for a in arguments if isinstance(a, np.ndarray) and a.dtype in _PREFIX)
    for argument in arguments:
        if isinstance(argument, int) and not -(2**31) <= argument < 2**31:
            raise OverflowError(f"{name}: {argument} does not fit LAPACK's 32-bit integers")
    references = [_reference(argument, _SCALAR[kind]) for argument in arguments]
    _routine(_PREFIX[kind] + name)(*references)


def call_lapack(name: str, *arguments: Any) -> int:
    """Call a routine whose last argument is `info`; return it."""
    info = ctypes.c_int(0)
    call(name, *arguments, info)
    return info.value
