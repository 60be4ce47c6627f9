"""What must not be the same in two processes that were forked (or restored) from one: renewed before user code runs."""

import os
import random
import sys

# Where releases of `cryptography` keep the OpenSSL that they bring along: the newer one first.
CRYPTOGRAPHY = ("_openssl", "cryptography.hazmat.bindings._openssl")


def renew(seed):
    """In a process that may have come from a saved state. `seed`: 32 bytes from the host, as hexadecimal digits."""
    number = int(seed, 16)
    loaded = sys.modules
    if "numpy" in loaded:
        _renew_legacy(loaded["numpy"].random, number << 40 | int.from_bytes(b"numpy", "big"))
    random.seed(number)
    if "sympy.core.random" in loaded:
        loaded["sympy.core.random"].seed(number)
    forget()
    renew_secret()
    # OpenSSL knows a fork by its process id, and a saved state by nothing.
    if "ssl" in loaded:
        loaded["ssl"].RAND_add(bytes.fromhex(seed), 32.0)
    for name in CRYPTOGRAPHY:
        library = getattr(loaded.get(name), "lib", None)
        if hasattr(library, "RAND_add"):
            library.RAND_add(bytes.fromhex(seed), 32, 32.0)


def _renew_legacy(generator, number):
    """The legacy global generator of numpy, which scipy and scikit-learn use too. `default_rng` asks the kernel each time."""
    # It is the same algorithm as Python's, which is asked for a state: numpy's own way from many bits to a state takes a tenth of all that a fork of an
    # emulated machine has to translate. (From the same number it would draw what Python's draws: it has another.)
    random.seed(number)
    _, (*key, place), _ = random.getstate()
    try:
        generator.set_state(("MT19937", key, place))
    except Exception:
        # Code has chosen another algorithm.
        generator.seed([number >> at & 0xFFFFFFFF for at in range(0, number.bit_length(), 32)])


def forget():
    """What was worked out once, and is another's: made anew when it is asked for."""
    loaded = sys.modules
    if "tempfile" in loaded:
        loaded["tempfile"]._name_sequence = None
        loaded["tempfile"].tempdir = None
    if "uuid" in loaded:
        loaded["uuid"]._node = None
        loaded["uuid"]._last_timestamp = None
    if "platform" in loaded:
        # The host name is in them.
        loaded["platform"]._uname_cache = None
        loaded["platform"]._platform_cache.clear()


def renew_secret():
    if "multiprocessing" in sys.modules:
        sys.modules["multiprocessing"].current_process().authkey = os.urandom(32)
