// xml.h - reads the XML that S3 and STS answer; the only user of expat.
//
// A document is handed over as its leaves, in order: each element's path from the root
// ("ListBucketResult/Contents/Key", namespaces left out) and the text directly in it. Elements
// that hold others are told too, when they end, with what text stood between ("" mostly), so
// that a caller knows where one `Contents` is complete.
//
// Total: any bytes are either read or refused. Refused beside what is no well-formed XML 1.0:
// every document type declaration (so that no entity can be defined: none grows, none reads a
// file), nesting deeper than XML_DEPTH_MAX, a text longer than XML_TEXT_MAX, names longer than
// XML_NAME_MAX, a document larger than XML_SIZE_MAX. White space before the document is
// skipped: stores send it to keep a connection alive while they work.
// What expat held in its own memory is wiped: STS answers secrets.
#pragma once

#include "base/err.h"

#include <stddef.h>

enum {
    XML_SIZE_MAX = 8 * 1024 * 1024, // a listing page of 1000 keys of 1024 escaped bytes is 4 MiB
    XML_TEXT_MAX = 64 * 1024,       // the longest we ask for is a session token, a few KiB
    XML_NAME_MAX = 64,              // bytes of one element's name
    XML_DEPTH_MAX = 12,             // ours have at most 4
};

// Called at each element's end. text is valid during the call and has no NUL inside. 0 to go
// on; a negative errno, with *err filled, ends the reading with that error.
typedef int xml_on_element(void *context, const char *path, const char *text, struct err *err);

// Some stores write characters that XML 1.0 cannot hold, raw or as references ("&#x1;"), where
// keys have them. xml_mask covers such with XML_MASK, in place, so that the rest can be read.
#define XML_MASK '\x7F'
void xml_mask(char *bytes, size_t size);

// 0, EBADMSG (refused, the sentence says why and in which line), ENOMEM, or what on_element
// answered.
int xml_read(const void *bytes, size_t size, xml_on_element *on_element, void *context,
             struct err *err);
