// escape.h - text that others wrote, into text that programs read; pure.
//
// Names come from whoever may write to the bucket. What would not be seen, or would turn the order
// of what is seen, is shown by its number ("[U+202E]"), as are bytes that are no text ("[0xFF]"):
// so none of these ever holds a line break or what moves a terminal's cursor. html.h is the same
// for pages.
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The character that `size` bytes make (utf8.h), where it has to be shown by its number. Whether
// it had to.
bool escape_unseen(struct buf *text, const char *bytes, size_t size, uint32_t character);
int escape_text(struct buf *text, const char *from);

// One word in single quotes, as a POSIX shell takes it, and as PowerShell does.
int escape_shell_word(struct buf *text, const char *word);
int escape_powershell_word(struct buf *text, const char *word);

// Into a table of GitHub-flavoured Markdown: every ASCII character that is no letter, digit or
// blank as a character reference, so that nothing becomes markup or another cell.
int escape_markdown(struct buf *text, const char *from);
