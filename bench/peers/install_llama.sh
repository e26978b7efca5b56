#!/bin/sh
# Builds llama.cpp from the source that llama-cpp-python ships: install_llama.sh VENV FOLDER. FOLDER then has the Python
# bindings, llama_cpp/, and the libraries, build/bin/. Takes a quarter of an hour on two cores.
set -eu
venv=$1 folder=$2
[ ! -f "$folder/ready" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder"
"$venv/bin/pip" download -q --no-deps --no-binary llama-cpp-python -d "$folder" llama-cpp-python
tar -xzf "$folder"/llama_cpp_python-*.tar.gz -C "$folder" --strip-components 1
cmake -S "$folder/vendor/llama.cpp" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF
cmake --build "$folder/build"
touch "$folder/ready"
