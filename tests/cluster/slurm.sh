#!/usr/bin/env bash
# A whole Slurm on the loopback, kept in one folder and away from /etc: munged, slurmctld and, as two
# nodes of this one machine, two slurmd.
#   slurm.sh start DIR    starts it; `export SLURM_CONF=DIR/slurm.conf` is all that its commands need
#   slurm.sh stop DIR     stops it, jobs too
# Debian's packages: slurmctld slurmd slurm-client munge. The first node has two partitions: jobs of
# `high` take it from jobs of `low`, which are requeued. `pair` has both nodes.
set -euo pipefail
PATH=$PATH:/usr/sbin
action=$1 dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }

start() {
  host=$(hostname) nodes=("$(hostname)" "$(hostname)-b")
  mkdir -p "$dir/state" "$dir/spool-${nodes[0]}" "$dir/spool-${nodes[1]}"
  chmod 700 "$dir"
  dd if=/dev/urandom of="$dir/munge.key" bs=1 count=128 status=none
  chmod 600 "$dir/munge.key"
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
  cat >"$SLURM_CONF" <<CONF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobs.txt
NodeName=${nodes[0]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$(nproc) State=UNKNOWN
NodeName=${nodes[1]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$(nproc) State=UNKNOWN
PartitionName=low Nodes=${nodes[0]} Default=YES PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE
PartitionName=high Nodes=${nodes[0]} PriorityTier=10 MaxTime=INFINITE
PartitionName=pair Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE
CONF
  slurmctld
  for node in "${nodes[@]}"; do slurmd -N "$node"; done
  for _ in $(seq 100); do
    idle=$(sinfo --noheader --partition=pair --states=idle --format=%D 2>/dev/null || true)
    if [ "${idle// /}" = 2 ]; then return; fi
    sleep 0.2
  done
  echo "slurm.sh: two nodes did not become idle:" >&2
  tail -n 20 "$dir"/slurm*.log >&2
  exit 1
}

stop() {
  scancel --quiet --user="$(id -un)" 2>/dev/null || true
  sleep 1
  for file in "$dir"/slurmd-*.pid "$dir/slurmctld.pid" "$dir/munged.pid"; do
    if [ -f "$file" ]; then kill "$(cat "$file")" 2>/dev/null || true; fi
  done
}

"$action"
