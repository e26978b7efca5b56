#!/bin/sh
# Builds llama.cpp from the source that llama-cpp-python ships: install_llama.sh VENV FOLDER. FOLDER then has the Python
# bindings, llama_cpp/, and in build/bin/ the libraries and llama-server, without its web page, which would be
# downloaded. Takes half an hour on two cores.
set -eu
venv=$1 folder=$2
[ ! -x "$folder/build/bin/llama-server" ] || exit 0
if [ ! -f "$folder/unpacked" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    "$venv/bin/pip" download -q --no-deps --no-binary llama-cpp-python -d "$folder" llama-cpp-python
    tar -xzf "$folder"/llama_cpp_python-*.tar.gz -C "$folder" --strip-components 1
    touch "$folder/unpacked"
fi
cmake -S "$folder/vendor/llama.cpp" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
cmake --build "$folder/build" --target llama llama-server
