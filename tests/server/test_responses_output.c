/* Items of what is read out of a reply. */
#include "server/responses_output.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(responses_output, thoughts_calls_and_text_are_items_of_their_own) {
    static const char whole[] =
        "<think>Look.</think>I look.\n<tool_call>{\"name\": \"find\", \"arguments\": {\"a\": 1}}"
        "</tool_call>";
    static const char template[] = "<think></think><tool_call>";
    static const char *const names[] = {"find"};
    struct chat_reply_options options = {
        .marks = reasoning_marks_of_template(template, sizeof template - 1),
        .tool_format = tool_format_of_template(template, sizeof template - 1),
        .tool_names = names,
        .tool_count = 1,
    };
    struct responses_output output = {.id = "1"};
    struct chat_reply reply;
    struct tool_event event;
    bool fine = true;
    cr_assert(chat_reply_open(&reply, &options, NULL));
    for (size_t i = 0; i <= strlen(whole); i++) {
        cr_assert(i < strlen(whole) ? chat_reply_push(&reply, whole + i, 1)
                                    : chat_reply_finish(&reply));
        while (chat_reply_next(&reply, &event, &fine)) {
            cr_assert(responses_output_add(&output, &reply, &event, NULL));
        }
        cr_assert(fine);
    }
    cr_assert(responses_output_finish(&output, true));

    cJSON *items = responses_output_items(&output);
    cJSON_SetValuestring(cJSON_GetObjectItem(cJSON_GetArrayItem(items, 2), "call_id"), "x");
    char *text = cJSON_PrintUnformatted(items);
    cr_expect_str_eq(
        text,
        "[{\"id\":\"rs_1_0\",\"type\":\"reasoning\",\"status\":\"completed\",\"content\":[{"
        "\"type\":\"reasoning_text\",\"text\":\"Look.\"}],\"summary\":[]},"
        "{\"id\":\"msg_1_1\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":"
        "\"output_text\",\"text\":\"I look.\",\"annotations\":[],\"logprobs\":[]}],\"role\":"
        "\"assistant\"},"
        "{\"id\":\"fc_1_2\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"x\","
        "\"name\":\"find\",\"arguments\":\"{\\\"a\\\": 1}\"}]");
    cJSON_free(text);
    cJSON_Delete(items);
    responses_output_deinit(&output);
    chat_reply_close(&reply);
}
