// path.h - names: what a key's component may be, and what names mean; pure.
//
// A directory is written without slashes at its ends: "" is the mount's root,
// "jps/fix-login/abc1234" a build. A file's key is PREFIX DIRECTORY "/" NAME.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATH_NAME_MAX = 255 }; // bytes of a component, the kernel's limit
#define PATH_OWN_DIRECTORY ".prereleasefs"
#define PATH_RELEASES "releases"

// Not empty, not "." or "..", at most PATH_NAME_MAX bytes, no '/' or NUL.
bool path_is_component(const char *name, size_t size);
bool path_is_reference_file(const char *name);      // ends in ".ref" and is more than that
bool path_is_under_releases(const char *directory); // "releases" itself or below
bool path_is_commit(const char *name, size_t size); // 7 to 64 lower-case hexadecimal digits
// malloc'ed "DIRECTORY/NAME", or NAME in the root; NULL on no memory.
char *path_join(const char *directory, const char *name);
// malloc'ed: prefix ("" or ending in '/') + directory + "/" + name.
char *path_key(const char *prefix, const char *directory, const char *name);
// malloc'ed: what a listing of that directory asks for, "PREFIX DIRECTORY/" ("PREFIX" for the
// root).
char *path_list_prefix(const char *prefix, const char *directory);
// malloc'ed: the last component; the directory before it.
char *path_parent(const char *path);
const char *path_last(const char *path);

// For tables and inode numbers (FNV-1a, 64 bits): equal text, equal number, on every mount.
uint64_t path_hash(const char *text);

// The name a customer's machine can save: every byte outside A-Za-z0-9._+- becomes '_', a leading
// '.' or '-' too; a long one is cut before its extension, to 200 bytes. malloc'ed.
char *path_download_name(const char *name);
// The same for all names of a directory: where two would collide (on Windows: without regard to
// case), all but the first get a short hash of their name before the extension.
// ret_names[count] malloc'ed each. 0 or -ENOMEM.
int path_download_names(const char *const *names, size_t count, char **ret_names);
