# SPDX-License-Identifier: Apache-2.0
"""What Docker's default seccomp profile leaves a container that has no capabilities.

The rules are those of profiles/seccomp/default.json of github.com/moby/moby, as they are since
Docker 25 (December 2023), which took io_uring out; only the calls that amd64, arm64 and armhf have.
Podman's (github.com/containers/common, seccomp.json) is like it, but answers ENOSYS to what it does
not know, io_uring among it.
"""

import ctypes
import errno

ALLOWED = """
accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir
fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork
fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex
futex_time64 futex_waitv futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64
getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername
getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 _llseek madvise
membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap
mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause
pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64
prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6
pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send
sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid
setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority
setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd
signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statx
symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64
ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4
waitid waitpid write writev
arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
""".split()

# Every CLONE_NEW*: no namespaces.
CLONE_NEW = 0x7E020000
AF_VSOCK = 40
# Personalities: Linux, with SHORT_INODE's like, and the question for it.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

NOT_EQUAL, EQUAL, MASKED_EQUAL = 1, 4, 7  # enum scmp_compare
ACTION_ALLOW = 0x7FFF0000
ACTION_ERRNO = 0x00050000
UNKNOWN = -1  # __NR_SCMP_ERROR


class Argument(ctypes.Structure):
    """struct scmp_arg_cmp"""
    _fields_ = [("index", ctypes.c_uint), ("operator", ctypes.c_int),
                ("one", ctypes.c_uint64), ("other", ctypes.c_uint64)]


class Filter:
    """Made as root of this machine's libseccomp, loaded by whoever is about to become the
    container.
    """

    def __init__(self, refusal):
        """`refusal`: the errno of what is not allowed."""
        self.libseccomp = ctypes.CDLL("libseccomp.so.2")
        self.libseccomp.seccomp_init.restype = ctypes.c_void_p
        self.libseccomp.seccomp_init.argtypes = [ctypes.c_uint32]
        self.libseccomp.seccomp_load.argtypes = [ctypes.c_void_p]
        self.libseccomp.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
            ctypes.POINTER(Argument)]
        self.context = self.libseccomp.seccomp_init(ACTION_ERRNO | refusal)
        for name in ALLOWED:
            self.rule(name)
        self.rule("clone", Argument(0, MASKED_EQUAL, CLONE_NEW, 0))
        self.rule("socket", Argument(0, NOT_EQUAL, AF_VSOCK))
        for personality in PERSONALITIES:
            self.rule("personality", Argument(0, EQUAL, personality))
        if refusal != errno.ENOSYS:
            self.rule("clone3", action=ACTION_ERRNO | errno.ENOSYS)

    def rule(self, name, *arguments, action=ACTION_ALLOW):
        number = self.libseccomp.seccomp_syscall_resolve_name(name.encode())
        if number == UNKNOWN:  # a newer kernel's
            return
        array = (Argument * max(len(arguments), 1))(*arguments)
        result = self.libseccomp.seccomp_rule_add_array(self.context, action, number,
                                                        len(arguments), array)
        if result < 0:
            raise OSError(-result, f"seccomp: {name}")

    def load(self):
        result = self.libseccomp.seccomp_load(self.context)
        if result < 0:
            raise OSError(-result, "seccomp_load")
