// mount_table.h - what is mounted where: /proc/self/mountinfo, as proc_pid_mountinfo(5) has it.
#pragma once

struct mounted {
    int id;
    char *path;   // where, as this process sees it
    char *type;   // "ext4", "fuse.prereleasefs"
    char *source; // "/dev/sda1", "prerelease-bucket"
};
void mounted_done(struct mounted *mounted); // accepts NULL and zeroed

// One line of it, its newline included or not. -EINVAL where it is none, -ENOMEM.
int mount_table_parse(const char *line, struct mounted *ret_mounted);

// What `fd` stands in; one opened with O_PATH asks no filesystem anything, so that a dead or
// hanging one is found as well. -ENOENT where it is not listed (in a chroot, what lies outside), or
// why there is no list.
int mount_table_find(int fd, struct mounted *ret_mounted);
