/* Reads a reply of channels, as gpt-oss writes it (OpenAI's harmony format), while it comes:
 *
 *     <|channel|>analysis<|message|>They want…<|end|>
 *     <|start|>assistant<|channel|>commentary to=functions.find <|constrain|>json<|message|>{…}<|call|>
 *     <|start|>assistant<|channel|>final<|message|>It is…<|return|>
 *
 *     reasoning "They want…"   begin "find"   arguments "{…}"   end   text "It is…"
 *
 * What has a tool as its recipient is a call, the channel analysis is reasoning, all else is text. The
 * marks are special tokens, which must be shown. No more is held back than a header, of
 * CHANNEL_HEADER_MAX bytes at most, and the beginning of a mark.
 *
 * One thread at a time. */
#ifndef QUERN_SERVER_REPLY_CHANNELS_H
#define QUERN_SERVER_REPLY_CHANNELS_H

#include "engine/error.h"
#include "server/tool_calls.h"

#include <stdbool.h>
#include <stddef.h>

enum { CHANNEL_HEADER_MAX = 4096 };

struct reply_channels;

/* Borrows the names of the tools. */
bool reply_channels_open(struct reply_channels **out, const char *const *names, size_t name_count,
                         struct error *err);
void reply_channels_close(struct reply_channels *channels);

/* As the functions of tool_calls.h. */
bool reply_channels_push(struct reply_channels *channels, const char *bytes, size_t length);
void reply_channels_finish(struct reply_channels *channels);
bool reply_channels_next(struct reply_channels *channels, struct tool_event *event);

#endif
