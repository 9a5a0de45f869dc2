# Enters a container as PID 1: `enter.sh ROOT WORKDIR UID GID VOLUME MOUNTPOINT COMMAND…`, as root and in
# namespaces of its own. The root is read-only; /tmp is a new file system, and the volume is writable.
set -eu
root=$1 workdir=$2 uid=$3 gid=$4 volume=$5 mountpoint=$6
shift 6

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount --bind "$volume" "$root$mountpoint"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root/sys"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"

# unshare kills PID 1 when it dies itself, which a change of the user makes the kernel forget.
exec chroot "$root" setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs --bounding-set=-all \
    --inh-caps=-all --pdeathsig=KILL env --chdir="$workdir" "$@"
