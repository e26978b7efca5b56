#!/bin/sh
# The sub-commands, as a shell meets them. Usage: commands.sh QUERN, in the folder tests/.
set -eu
quern=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS PATTERN ARGUMENT...: quern ends with that status, and says what matches the pattern.
expect() {
    want=$1 pattern=$2
    shift 2
    status=0
    "$quern" "$@" >"$scratch/said" 2>&1 </dev/null || status=$?
    [ "$status" = "$want" ] || fail "quern $*: status $status, not $want: $(cat "$scratch/said")"
    grep -q -e "$pattern" "$scratch/said" || fail "quern $*: no \"$pattern\" in: $(cat "$scratch/said")"
}

# ---- The command line ----
expect 0 '^quern [0-9]' --version
expect 0 'usage: quern COMMAND' --help
! grep '.\{80\}' "$scratch/said" || fail "quern --help is wider than a terminal"
expect 2 'usage: quern COMMAND'
expect 2 'did you mean "logits"' logit
for command in serve run inspect pack bench logits template tokenize top health key config api completion; do
    expect 0 "usage: quern $command" help "$command"
    expect 0 "usage: quern $command" "$command" --help
    ! grep '.\{80\}' "$scratch/said" || fail "quern $command --help is wider than a terminal"
    expect 2 'there is no option --no-such-thing' "$command" --no-such-thing
done

expect 2 'print takes no FILE, found "quern.conf"' config print quern.conf

# ---- completion ----
for shell in bash zsh fish; do
    "$quern" completion $shell >"$scratch/complete.$shell" || fail "completion $shell: status $?"
done
expect 2 'SHELL takes one of bash, zsh, fish, not "tcsh"' completion tcsh
cat >"$scratch/complete" <<'END'
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_quern
printf '%s ' "${COMPREPLY[@]}"
END
# completes SHELL EXPECTED WORD...: that is what the shell offers for the last word.
completes() {
    shell=$1 want=$2
    shift 2
    case $shell in
    bash) got=$(bash "$scratch/complete" "$scratch/complete.bash" "$@" 2>&1) ;;
    fish)
        # shellcheck disable=SC2016 # fish expands it
        got=$(fish --no-config -c 'source $argv[1]; complete -C "$argv[2]"' "$scratch/complete.fish" "$*" |
            cut -f 1 | tr '\n' ' ')
        ;;
    esac
    [ "$got" = "$want" ] || fail "$shell completes \"$*\" with \"$got\", not \"$want\""
}
mkdir "$scratch/model folder"
for shell in bash fish; do
    completes $shell 'pack ' quern pa
    completes $shell '--mode ' quern run --mo
    completes $shell 'chat text ' quern run --mode ''
    completes $shell 'check print ' quern config ''
    completes $shell 'fish ' quern completion f
done
touch "$scratch/quern.conf"
completes bash "$scratch/quern.conf " quern config check "$scratch/quern"
completes fish "$scratch/quern.conf " quern config check "$scratch/quern"
completes bash ' ' quern completion bash ''
completes bash "$scratch/model folder " quern run "$scratch/mod"
completes bash ' ' quern run --seed ''
cat >"$scratch/complete" <<'END'
_describe() { print -r -- ${(P)4} }
_arguments() { print -rl -- "$@" }
compdef() { }
source $1
words=(quern run --mo) CURRENT=3
_quern
END
zsh -f "$scratch/complete" "$scratch/complete.zsh" >"$scratch/said" 2>&1 || fail "zsh: $(cat "$scratch/said")"
grep -q -e '^--mode\[.*\]:MODE:(chat text)$' "$scratch/said" || fail "zsh: $(cat "$scratch/said")"
grep -q -x -e ' *.1:ACTION:(check print). .' "$scratch/complete.zsh" || fail "zsh does not know what config does"

# ---- inspect ----
expect 0 'select_rows' inspect
expect 0 'GroupQueryAttention' inspect models/gemma3-int4
expect 1 'nowhere' inspect nowhere
expect 0 '"runs":.*true' inspect --json models/gemma3-int4
"$quern" inspect --graph "$scratch/plan.dot" models/gemma3-int4 >"$scratch/text"
grep -q 'i3 -> i4 .label="r5: 128".' "$scratch/plan.dot" || fail "the drawing misses an arrow"
mkdir "$scratch/truncated"
cp models/gemma3-int4/* "$scratch/truncated"
head -c 1000 models/gemma3-int4/model.onnx.data >"$scratch/truncated/model.onnx.data"
expect 1 'model.onnx.data' inspect "$scratch/truncated"

# docs/operators.md holds what the program prints, and the plans of two exports of one model are the same.
"$quern" inspect --operators >"$scratch/operators"
sed -n '/^<!-- quern inspect --operators -->$/,/^<!-- end -->$/p' ../docs/operators.md | sed '1d;$d' >"$scratch/documented"
diff "$scratch/documented" "$scratch/operators" ||
    fail "docs/operators.md is not what quern inspect --operators prints (above, >)"
for model in models/gemma3-int4-untied models/optimum-gemma3-q4; do
    "$quern" inspect $model | sed -n '/^plan$/,/^weights$/p' >"$scratch/plan"
    sed -n "\|^<!-- $model -->\$|,/^\`\`\`\$/p" ../docs/operators.md | sed '1,2d;$d' >"$scratch/documented"
    grep -q ' attention ' "$scratch/documented" || fail "docs/operators.md has no plan of $model"
    ! grep -v -x -F -f "$scratch/plan" "$scratch/documented" || fail "docs/operators.md: this is not in the plan of $model"
    sed -E 's/ (scale|rope|weight|q_norm|k_norm)=[^ ]*//g; s/[^ ]+ (q4.32|f32) /\1 /g' "$scratch/plan" >"$scratch/$(basename $model).plan"
done
diff "$scratch/gemma3-int4-untied.plan" "$scratch/optimum-gemma3-q4.plan" || fail "the plans of two exports differ"

# A folder as transformers.js has it: the ONNX files in a folder of their own, with their data.
mkdir -p "$scratch/hub/onnx"
cp models/optimum-gemma3-q4/config.json "$scratch/hub"
expect 1 'hub has no ONNX file' inspect "$scratch/hub"
cp models/optimum-gemma3-q4/model.onnx "$scratch/hub/onnx/model_q4.onnx"
cp models/gemma3-int4/model.onnx "$scratch/hub/onnx/model.onnx"
cp models/gemma3-int4/model.onnx.data "$scratch/hub/onnx/model.onnx.data"
expect 0 ' onnx/model_q4.onnx ' inspect "$scratch/hub"
expect 0 ' onnx/model.onnx.data ' inspect "$scratch/hub/onnx/model.onnx"
expect 0 '"rows": 2' logits "$scratch/hub/onnx/model.onnx" --ids 2 --force 3 --out "$scratch/whole"
(cd "$scratch/hub/onnx" && "$quern" logits model.onnx --ids 2 --force 3 --out "$scratch/cut" >"$scratch/said")
cmp -s "$scratch/whole" "$scratch/cut" || fail "a model named by its file depends on the working folder"
mv "$scratch/hub/onnx/model_q4.onnx" "$scratch/hub/one.onnx"
expect 0 ' onnx/model.onnx ' inspect "$scratch/hub"
rm -r "$scratch/hub/onnx"
expect 0 ' one.onnx ' inspect "$scratch/hub"
cp "$scratch/hub/one.onnx" "$scratch/hub/other.onnx"
expect 1 'hub: tokenizer.json: No such file' tokenize "$scratch/hub"
expect 1 'hub: the folder has no chat template' template "$scratch/hub"
expect 1 'hub has 2 ONNX files' inspect "$scratch/hub"
expect 1 'Not a directory' inspect /dev/null

# ---- pack ----
export XDG_CACHE_HOME="$scratch/cache"
expect 0 "^$scratch/cache/quern/gemma3-int4-.*-fast.pack: .* written" pack models/gemma3-int4
expect 0 'was there already, and holds' pack models/gemma3-int4
expect 0 'written' pack models/gemma3-int4 --exact
expect 0 'written' pack models/gemma3-int4 --force
expect 0 'tokens/s' bench models/gemma3-int4 --prompt 8 --generate 4
for file in "$scratch"/cache/quern/*fast.pack; do
    head -c 5000 "$file" >"$scratch/cut"
    cp "$scratch/cut" "$file"
done
expect 0 'is made anew' pack models/gemma3-int4
mkdir "$scratch/full"
(ulimit -f 1000 && expect 1 'File too large' pack models/gemma3-int4 --cache-dir "$scratch/full" && [ $failures = 0 ]) ||
    fail "pack without room"
rmdir "$scratch/full" || fail "a pack file without room was left behind"
expect 1 'no/cache' pack models/gemma3-int4 --cache-dir /dev/null/no/cache

# ---- logits ----
model=models/gemma3-fp32
expected=$(sed 's/.*"prompt": \[2\], "greedy": \(\[[^]]*\]\).*/\1/' $model/expected.json)
expect 0 "\"rows\": 9, \"vocab_size\": 512, \"greedy\": .${expected#?}" \
    logits $model --ids 2 --greedy 8 --exact --out "$scratch/greedy"
[ "$(wc -c <"$scratch/greedy")" = $((9 * 512 * 4)) ] || fail "logits wrote $(wc -c <"$scratch/greedy") bytes"

prompt=2,5,7,11,13,17,19,23,29,31,37,41,43,47,53,59,61,67,71,73,79
expect 0 '"rows": 23' logits models/gemma3-int4 --ids $prompt --force 5,6 --rows all --out "$scratch/whole"
for how in '--chunk 1' '--chunk 7 --threads 1' '--chunk 16 --threads 2'; do
    # shellcheck disable=SC2086 # several words
    expect 0 '"rows": 23' logits models/gemma3-int4 --ids $prompt --force 5,6 --rows all $how --out "$scratch/cut"
    cmp -s "$scratch/whole" "$scratch/cut" || fail "logits change with $how"
done
expect 1 'token 512 is outside the vocabulary of 512' logits $model --ids 2,512 --out "$scratch/none"
expect 2 'exclude each other' logits $model --ids 2 --force 3 --greedy 3 --out "$scratch/none"
expect 1 'cannot write' logits $model --ids 2 --out "$scratch/no/folder"

# ---- bench ----
expect 0 '"prefill_tokens_per_second"' bench --json --prompt 32 --generate 4 --depth 8 --batch 1,2 --seconds 1
expect 0 '"batch": 2, "depth": 40, "tokens": 8' \
    bench --json --prompt 8 --generate 4 --depth 8,40,20 --batch 1,2 --seconds 1
expect 0 'gated linear  *6 stages' bench --stages --prompt 8 --generate 4 --depth 8 --seconds 1
expect 0 '"stages": .*{"name": "norm", "stages": 12, ' bench --stages --json --prompt 8 --generate 4 --depth 8 --seconds 1
expect 0 '"stages": \[\]}' bench --json --prompt 8 --generate 4 --depth 8 --seconds 1
expect 2 'depth' bench --depth 8,0

# ---- run ----
expect 0 '[a-z]' run - 'Once upon a time' --max-tokens 8
expect 1 'nowhere' run nowhere hello
"$quern" run - 'Once' --seed 7 --temperature 1 --max-tokens 16 >"$scratch/first"
printf 'Once' | "$quern" run - --seed 7 --temperature 1 --max-tokens 16 >"$scratch/second"
cmp -s "$scratch/first" "$scratch/second" || fail 'run says something else with the same seed'
expect 2 '--system .* --mode chat' run - 'Once' --system 'Be brief.'
expect 0 '' run - 'Once' --system 'Be brief.' --mode chat --max-tokens 2

# ---- tokenize ----
printf '%s\n' '{"ids": [2, 99999]}' '{"ids": [-1]}' '{"ids": [4294967298]}' '{"ids": [2]}' |
    "$quern" tokenize >"$scratch/said"
printf '%s\n' '{"error": "the id at index 1 is 99999, which no token of the 2008 has"}' \
    '{"error": "the id at index 0 is -1, which no token of the 2008 has"}' \
    '{"error": "the id at index 0 is 4294967298, which no token of the 2008 has"}' \
    '{"text": "<bos>"}' | diff - "$scratch/said" || fail 'tokenize takes ids of no token (above, >)'

# ---- template ----
# answers INPUT EXPECTED ARGUMENT...: quern template prints these lines for those.
answers() {
    input=$1 want=$2
    shift 2
    said=$(printf '%s\n' "$input" | "$quern" template "$@") || fail "quern template $*: $said"
    [ "$said" = "$want" ] || fail "quern template $*: $said, not $want"
}
answers '{"messages": [{"role": "user", "content": "Hi "}], "add_generation_prompt": true}' \
    '{"text": "<bos><start_of_turn>user\u000aHi<end_of_turn>\u000a<start_of_turn>model\u000a"}'
answers '{"messages": [{"role": "user", "content": "a\u0000\u2028\"\u00e9"}]}' \
    '{"text": "<|im_start|>user\u000aa\u0000\u2028\"é<|im_end|>\u000a"}' chat_templates/bytelevel
answers '{"messages": [{"role": "tool", "content": ""}]}

[1' '{"error": "chat template: line 16: this template knows the roles system, user and assistant, not tool"}
{"error": "expected a comma or the closing bracket at byte 3, found the end"}'
expect 1 'the folder has no chat template' template models
mkdir "$scratch/broken"
echo '{% if %}' >"$scratch/broken/chat_template.jinja"
expect 1 'chat_template.jinja: line 1: expected an expression' template "$scratch/broken"

[ "$failures" = 0 ] || exit 1
echo 'all commands behave'
