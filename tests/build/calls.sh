#!/usr/bin/env bash
# The library never prints, never ends the process and leaves its signals alone.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
: "${PGQ_LIBRARY:?}"

ending='exit|_exit|_Exit|quick_exit|abort|__assert_fail|raise|kill|tgkill|pthread_kill|atexit|__cxa_atexit|on_exit'
signals='signal|bsd_signal|sysv_signal|__sysv_signal|sigaction|sigprocmask|pthread_sigmask|sigset|alarm|setitimer'
signals="$signals|sigwait|sigwaitinfo|sigtimedwait|sigsuspend|sigaltstack|longjmp|siglongjmp|__longjmp_chk"
printing='printf|vprintf|fprintf|vfprintf|dprintf|vdprintf|puts|fputs|fputs_unlocked|putc|putchar|fputc|fwrite|perror'
printing="$printing|psignal|syslog|vsyslog|stdout|stderr|__(v?f?|d)printf_chk"
process='fork|vfork|system|popen|execv|execve|execvp|posix_spawn|setenv|putenv|unsetenv|setlocale|chdir|umask'

used=$(nm -u --format=posix "$PGQ_LIBRARY" | awk '{ sub(/@.*/, "", $1); print $1 }')
grep -qx PQconnectdbParams <<<"$used" || fault "the library does not even connect: is nm's output read rightly?"
for name in $(grep -Ex "$ending|$signals|$printing|$process" <<<"$used" || true); do
    fault "the library calls $name"
done
verdict
