"""A permanent sandbox that a process enters before it reads untrusted data.

It has three layers and uses each one that this kernel supports. A root process that needs no rights of its own becomes the
account `nobody`. Landlock lets it open only the files that it names. Seccomp blocks the network, other processes and rarely used
kernel interfaces. For a reader it also blocks every call that opens, changes or starts anything.

This module imports nothing else of ours, because a caller waits for the child that enters. `enter` must run before the process
starts threads.
"""

import ctypes
import errno
import os
import signal
import stat
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_NOBODY = 65_534
_DEATH_SIGNAL, _DUMPABLE, _GET_SECCOMP, _SECCOMP, _NO_NEW_PRIVS = 1, 4, 21, 22, 38  # prctl
_FILTER = 2
_libc = ctypes.CDLL(None, use_errno=True)

# Seccomp -----------------------------------------------------------------------------------------------------------------------

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> the kernel's name for it (AUDIT_ARCH_*), and the column of its numbers below. 0: the call does not exist there."""

_NETWORK = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
}  # fmt: skip
_OTHER_PROCESSES = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kcmp": (312, 272), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "perf_event_open": (298, 241), "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "mq_open": (240, 180),
}  # fmt: skip
_KERNEL = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "mount_setattr": (442, 442), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "bpf": (321, 280), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "personality": (135, 92),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "acct": (163, 89), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, 0), "ioperm": (173, 0), "modify_ldt": (154, 0), "lookup_dcookie": (212, 18),
    "vhangup": (153, 58), "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "setfsuid": (122, 151), "setfsgid": (123, 152),
    "capset": (126, 91), "memfd_secret": (447, 447),
}  # fmt: skip
# Calls that can change the mode, owner, attributes or times of a file that was passed in open for reading.
_FILES = {
    "open": (2, 0), "openat": (257, 56), "openat2": (437, 437), "creat": (85, 0), "unlink": (87, 0), "unlinkat": (263, 35),
    "rename": (82, 0), "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, 0), "mkdirat": (258, 34), "rmdir": (84, 0),
    "link": (86, 0), "linkat": (265, 37), "symlink": (88, 0), "symlinkat": (266, 36), "mknod": (133, 0), "mknodat": (259, 33),
    "chmod": (90, 0), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, 0), "lchown": (94, 0),
    "fchown": (93, 55), "fchownat": (260, 54), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47), "utime": (132, 0),
    "utimes": (235, 0), "futimesat": (261, 0), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463),
    "removexattrat": (466, 466), "execve": (59, 221), "execveat": (322, 281), "fork": (57, 0), "vfork": (58, 0),
}  # fmt: skip
_CLONE, _CLONE3, _KILL, _TGKILL, _PRLIMIT, _IOCTL = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261), (16, 29)
_AFFINITY = (203, 122)
_CLONE_THREAD = 0x10000
_CHANGES_OF_A_FILE = (0x40086602, 0x401C5820)  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR: an open file's attributes
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000


def program(machine: str, pid: int, *, reader: bool) -> bytes:
    """Return the filter in the kernel's format. Pure. Raises KeyError for an unknown machine.

    reader: also blocks calls that open, change or start anything.
    """
    name, column = _ARCHITECTURES[machine]
    made: list[tuple[int, int, int, int]] = []

    def refuse(number: int = errno.EPERM) -> tuple[int, int, int, int]:
        return _RETURN, 0, 0, _ERRNO | number

    def only(call: tuple[int, int], argument: int, values: Sequence[int]) -> None:
        """Allow a call only with these values of an argument."""
        tests = [(_EQUAL, len(values) - 1 - n + 1, 0, value) for n, value in enumerate(values)]
        body = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *tests, refuse(), (_RETURN, 0, 0, _ALLOW)]
        made.extend([(_EQUAL, 0, len(body), call[column]), *body])

    made += [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, name), refuse(), (_LOAD, 0, 0, _NUMBER)]
    made += [(_AT_LEAST, 0, 1, _X32), refuse()]
    denied = [*_NETWORK.values(), *_OTHER_PROCESSES.values(), *_KERNEL.values(), *(_FILES.values() if reader else ())]
    for call in denied:
        if call[column]:
            made += [(_EQUAL, 0, 1, call[column]), refuse()]
    only(_PRLIMIT, 0, [0, pid])
    if reader:
        # A library asks for a thread first with clone3, whose flags no filter can see, and then with clone if clone3 does not
        # exist.
        made += [(_EQUAL, 0, 1, _CLONE3[column]), refuse(errno.ENOSYS)]
        body = [(_LOAD, 0, 0, _ARGUMENTS), (_ANY_BIT, 1, 0, _CLONE_THREAD), refuse(), (_RETURN, 0, 0, _ALLOW)]
        made += [(_EQUAL, 0, len(body), _CLONE[column]), *body]
        only(_KILL, 0, [pid])
        only(_TGKILL, 0, [pid])
        only(_AFFINITY, 0, [0, pid])
    body = [(_LOAD, 0, 0, _ARGUMENTS + 8), (_EQUAL, 1, 0, _CHANGES_OF_A_FILE[0]), (_EQUAL, 0, 1, _CHANGES_OF_A_FILE[1]), refuse()]
    made += [(_EQUAL, 0, len(body) + 1, _IOCTL[column]), *body, (_RETURN, 0, 0, _ALLOW)]
    made.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in made)


def _filter(*, reader: bool) -> bool:
    try:
        code = program(os.uname().machine, os.getpid(), reader=reader)
    except KeyError:
        return False
    lines = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(code) // 8, ctypes.addressof(lines))
    return bool(_libc.prctl(_SECCOMP, _FILTER, ctypes.create_string_buffer(head, len(head)), 0, 0) == 0)


# Landlock ----------------------------------------------------------------------------------------------------------------------

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every machine
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals to processes outside


class Opening(NamedTuple):
    """What a process may still access, each item with everything below it. Paths or open handles.

    read: may be read. write: any access. remove: empty directories there may be removed. list: names may be listed.
    """

    read: Sequence[str | bytes | int] = ()
    write: Sequence[str | bytes | int] = ()
    remove: Sequence[str | bytes | int] = ()
    list: Sequence[str | bytes | int] = ()


def landlock_version() -> int:
    """Return this kernel's Landlock version; 0 means none."""
    return max(0, int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def _restrict(opening: Opening) -> bool:
    version = landlock_version()
    if not version:
        return False
    handled = (1 << 13) - 1
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0) | (_IOCTL_DEVICE if version >= 5 else 0)
    attributes = struct.pack("=QQQ", handled, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    attributes = attributes[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = int(_libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    if rules < 0:
        return False
    try:
        given = ((opening.read, _READ), (opening.write, handled), (opening.remove, _REMOVE_DIR), (opening.list, _READ_DIR))
        for places, rights in given:
            for place in places:
                _allow(rules, place, rights)
        return bool(_libc.syscall(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(rules)


def _allow(rules: int, place: str | bytes | int, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # a missing path needs no right
        handle = place if isinstance(place, int) else os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            is_directory = stat.S_ISDIR(os.fstat(handle).st_mode)
            rule = struct.pack("=Qi", rights if is_directory else rights & _OF_A_FILE, handle)
            _libc.syscall(_ADD, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0))
        finally:
            if not isinstance(place, int):
                os.close(handle)


# All together ------------------------------------------------------------------------------------------------------------------


def programs() -> list[str]:
    """Return the paths that Python and other programs read to run: themselves, libraries, and a few facts about the machine."""
    facts = ("/etc/ld.so.cache", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu")
    # Do not include the directory above: a checkout may hold DATA_DIR with its secrets.
    ours = str(Path(__file__).parents[1])
    return [ours, sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/bin", "/dev/urandom", *facts]


def enter_as_reader() -> list[str]:
    """Use only open files from here on: open nothing, start nothing, connect to nothing. Return the active layers.

    As root, first become `nobody`. That account differs from the parent's and cannot even see the parent.
    """
    account = os.geteuid() == 0 and _become_nobody()
    return [*(["account"] if account else []), *_enter(Opening(), reader=True)]


def _become_nobody() -> bool:
    parent = os.getppid()
    try:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:  # a container without the capability
        return False
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)  # the kernel clears it when the account changes
    if os.getppid() != parent:
        os._exit(1)
    return True


def enter(opening: Opening) -> list[str]:
    """From here on open only what `opening` and `programs` name, and connect to nothing. Return the active layers.

    Started programs, such as 7-Zip, are inside the sandbox too.
    """
    devices = ("/dev/null", "/dev/zero")
    # A process that starts a program first lists its own open files.
    everything = Opening([*opening.read, *programs()], [*opening.write, *devices], opening.remove, [*opening.list, "/proc"])
    return _enter(everything, reader=False)


def _enter(opening: Opening, *, reader: bool) -> list[str]:
    layers = []
    _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_DUMPABLE, 0, 0, 0, 0)
    if _restrict(opening):
        layers.append("landlock")
    if _filter(reader=reader):
        layers.append("seccomp")
    return layers


def sentence() -> str:
    """Return a sentence for a service's log: which layers protect the children that read untrusted files on this machine."""
    held: list[str] = []
    lacking: list[str] = []
    version = landlock_version()
    (held if version else lacking).append(f"Landlock {version}" if version else "Landlock")
    known = os.uname().machine in _ARCHITECTURES and _libc.prctl(_GET_SECCOMP, 0, 0, 0, 0) >= 0
    (held if known else lacking).append("seccomp")
    (held if os.geteuid() == 0 else lacking).append("an account of their own (media only)")
    told = f"Children that read media and archives of others are held by {', '.join(held) or 'their limits alone'}."
    return f"{told} Not available here: {', '.join(lacking)}." if lacking else told
