// report_steps.h - the sections of report.html that say what to do; pure.
#pragma once

#include "snapshot.h"

#include "base/buf.h"

void report_download_steps(struct buf *page);
void report_verify_steps(const struct snapshot *snapshot, struct buf *page);
void report_load_steps(const struct snapshot *snapshot, struct buf *page);
void report_push_steps(const struct snapshot *snapshot, struct buf *page);
void report_air_gap_notes(struct buf *page);
void report_security_notes(const struct snapshot *snapshot, struct buf *page);
void report_questions(const struct snapshot *snapshot, struct buf *page);
