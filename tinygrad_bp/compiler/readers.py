"""Functions of libraries that answer from a state which may be another at the next call: files, clock, settings.

What a library does with its arguments is the same each time, so that its inside needs no guard. These few are the
exception, and a step that can get at one is refused. Read `ways.py` next.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

READS = {  # what is read: by what, as a user would write it
    "files or folders": (
        "builtins.open io.open io.FileIO io.open_code os.open os.fdopen os.read os.listdir os.scandir os.walk os.fwalk "
        "os.stat os.lstat os.fstat os.statvfs os.access os.readlink os.getcwd os.getcwdb os.path.exists "
        "os.path.lexists os.path.isfile os.path.isdir os.path.islink os.path.ismount os.path.getsize os.path.getmtime "
        "os.path.getatime os.path.getctime os.path.samefile os.path.abspath os.path.realpath os.path.expanduser "
        "os.path.expandvars os.path.relpath pathlib.Path.read_text pathlib.Path.read_bytes pathlib.Path.open "
        "pathlib.Path.exists pathlib.Path.is_file pathlib.Path.is_dir pathlib.Path.is_symlink pathlib.Path.stat "
        "pathlib.Path.lstat pathlib.Path.iterdir pathlib.Path.glob pathlib.Path.rglob pathlib.Path.walk "
        "pathlib.Path.cwd pathlib.Path.home pathlib.Path.resolve pathlib.Path.absolute pathlib.Path.expanduser "
        "pathlib.Path.readlink pathlib.Path.owner pathlib.Path.samefile glob.glob glob.iglob shutil.which "
        "shutil.disk_usage codecs.open gzip.open gzip.GzipFile bz2.open bz2.BZ2File lzma.open lzma.LZMAFile "
        "zipfile.ZipFile tarfile.open tarfile.TarFile tokenize.open linecache.getline linecache.getlines "
        "fileinput.input fileinput.FileInput mmap.mmap sqlite3.connect shelve.open dbm.open runpy.run_path "
        "configparser.ConfigParser.read filecmp.cmp tempfile.gettempdir importlib.resources.files pkgutil.get_data "
        "numpy.load numpy.loadtxt numpy.genfromtxt numpy.fromfile numpy.memmap numpy.lib.format.open_memmap "
        "numpy.fromregex tinygrad_bp.load"
    ),
    "the clock": (
        "time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic time.monotonic_ns "
        "time.process_time time.process_time_ns time.thread_time time.thread_time_ns time.clock_gettime "
        "time.clock_gettime_ns time.localtime time.gmtime time.ctime time.asctime time.strftime datetime.datetime.now "
        "datetime.datetime.today datetime.datetime.utcnow datetime.date.today os.times"
    ),
    "the environment, the process, or what it is given": (
        "os.getenv os.getenvb os.get_exec_path os.getpid os.getppid os.getlogin os.getuid os.getgid os.geteuid "
        "os.getegid os.getpriority os.cpu_count os.process_cpu_count os.sched_getaffinity os.getloadavg os.uname "
        "os.get_terminal_size os.popen os.system os.isatty shutil.get_terminal_size builtins.input sys.stdin "
        "getpass.getuser getpass.getpass platform.node platform.platform platform.uname socket.gethostname "
        "socket.socket socket.create_connection urllib.request.urlopen http.client.HTTPConnection subprocess.run "
        "subprocess.check_output subprocess.call subprocess.check_call subprocess.getoutput "
        "subprocess.getstatusoutput subprocess.Popen resource.getrusage resource.getrlimit signal.getsignal "
        "threading.current_thread threading.get_native_id threading.active_count "
        "threading.enumerate multiprocessing.current_process multiprocessing.cpu_count gc.get_count gc.get_stats "
        "gc.isenabled gc.get_objects gc.get_referrers gc.get_threshold sys.getrefcount sys._current_frames "
        "tracemalloc.get_traced_memory tracemalloc.is_tracing contextvars.copy_context"
    ),
    "a setting": (
        "decimal.getcontext decimal.localcontext sys.getrecursionlimit sys.getswitchinterval sys.gettrace "
        "sys.getprofile sys.get_int_max_str_digits sys.exc_info locale.getlocale locale.localeconv locale.setlocale "
        "locale.getpreferredencoding locale.format_string locale.currency locale.str locale.atof locale.atoi "
        "numpy.geterr numpy.geterrcall numpy.getbufsize numpy.get_printoptions numpy.array2string numpy.array_repr "
        "numpy.array_str"
    ),
    "the state of a random generator": (
        "tinygrad_bp.initial_seed tinygrad_bp.get_rng_state tinygrad_bp.Generator.initial_seed "
        "tinygrad_bp.Generator.get_state os.urandom os.getrandom uuid.uuid1 uuid.uuid4 secrets.token_bytes "
        "secrets.token_hex secrets.token_urlsafe secrets.randbelow secrets.randbits secrets.choice"
    ),
}
TOLD = {
    name: f"tg.compile: the step can get at `{name.removeprefix('builtins.').replace('tinygrad_bp.', 'tg.')}`, which "
    f"reads {what}: nobody can check before each call whether the answer has changed. Instead: read it outside "
    "the step, and pass the value in as an argument"
    for what, names in READS.items() for name in names.split()
}  # fmt: skip
MODULES = {name.partition(".")[0] for name in TOLD}


class Readers:
    """Those of `READS` whose modules are imported: functions by identity, attributes by their owner's."""

    def __init__(self) -> None:
        self.functions: dict[int, str] = {}
        self.members: dict[int, dict[str, str]] = {}
        for name in TOLD:
            owner, key = owner_of(name)
            if owner is None:
                continue
            self.members.setdefault(id(owner), {})[key] = name
            value = getattr(owner, key, None)
            if not isinstance(owner, type) and callable(value):
                self.functions[id(value)] = name

    def methods(self, value: Any) -> dict[str, str]:
        """What a class, or an object, of a library reads from by its methods."""
        kind = value if issubclass(type(value), type) else type(value)
        found: dict[str, str] = {}
        for base in kind.__mro__:
            found |= self.members.get(id(base), {})
        return found


def owner_of(name: str) -> tuple[Any, str]:
    """The module or the class that holds a name, None if it is not imported."""
    *path, key = name.split(".")
    for i in range(len(path), 0, -1):
        owner: Any = sys.modules.get(".".join(path[:i]))
        if owner is not None:
            for part in path[i:]:
                owner = getattr(owner, part, None)
            return owner, key
    return None, key


def imported_for(name: str) -> Any:
    """The library's module that a step imports: one that the table names may not be there yet."""
    if name.partition(".")[0] not in MODULES:
        return sys.modules.get(name)
    try:
        return importlib.import_module(name)
    except ImportError:  # `from os import getenv` names os.getenv too
        return None
