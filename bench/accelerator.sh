#!/usr/bin/env bash
# What the GPUs or TPUs of this machine do, beside what `lab plan` says: under 8 minutes, into
# bench/results/accelerator.json. `bench/accelerator.sh --quick` tries it on 4 forced CPU devices, in a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
export XLA_FLAGS="${XLA_FLAGS:-} --xla_force_host_platform_device_count=4" # forces none but CPU devices
exec timeout 480 "${PYTHON:-python3}" -m bench accelerator "$@"
