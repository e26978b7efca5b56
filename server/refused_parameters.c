#include "server/refused_parameters.h"

#define REFUSED(name, reason, accepted)                                                            \
    { name, PARAMETER_REFUSED, 0, 0, 0, NULL, reason, accepted }

/* clang-format off */
const struct parameter refused_parameters[] = {
    /* OpenAI */
    REFUSED("audio", "the models served here do not speak", NULL),
    REFUSED("modalities", "the models served here only write", JSON(["text"])),
    REFUSED("web_search_options", "this server searches nothing", NULL),
    REFUSED("functions", "use tools", NULL),
    REFUSED("function_call", "use tool_choice", JSON("none")),

    /* llama-server */
    REFUSED("image_data", "the models served here do not see", NULL),
    REFUSED("lora", "there are no adapters", NULL),
    REFUSED("samplers", "which samplers there are, and their order, is fixed", NULL),
    REFUSED("top_n_sigma", "there is no such sampler", JSON(-1)),
    REFUSED("adaptive_target", "there is no such sampler", JSON(-1)),
    REFUSED("min_keep", "cuts may leave a single token", JSON(1)),
    REFUSED("n_probs", "use logprobs", NULL),
    REFUSED("post_sampling_probs", "logprobs are those of the model", NULL),
    REFUSED("n_indent", "lines are not looked at", NULL),
    REFUSED("t_max_predict_ms", "replies are limited by max_tokens, not by time", JSON(-1)),
    REFUSED("t_max_prompt_ms", "prompts are limited by the context, not by time", JSON(-1)),

    /* vLLM */
    REFUSED("use_beam_search", "replies are sampled, one token after the other", NULL),
    REFUSED("truncate_prompt_tokens", "prompts are never cut", NULL),
    REFUSED("allowed_token_ids", "use a grammar", NULL),
    REFUSED("bad_words", "use logit_bias", NULL),
    REFUSED("prompt_logprobs", "use echo with logprobs, in /v1/completions", NULL),
    REFUSED("prompt_embeds", "prompts are text or tokens", NULL),
    REFUSED("logits_processors", "this server runs no code of others", NULL),
    REFUSED("repetition_detection", "use dry_multiplier", NULL),
    REFUSED("structural_tag", "use grammar", NULL),
    REFUSED("guided_whitespace_pattern", "use grammar", NULL),
    REFUSED("return_tokens_as_token_ids", "tokens are told as text", NULL),
    REFUSED("chat_template", "conversations have the model's own template", NULL),
};
/* clang-format on */

const size_t refused_parameter_count = sizeof refused_parameters / sizeof *refused_parameters;
