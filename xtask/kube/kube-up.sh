#!/usr/bin/env bash
# kube-up.sh - a real Kubernetes (1.20.2) for tests, from Debian packages only.
#
#   kube-up.sh STATE_DIR [up]            etcd + kube-apiserver + kube-controller-manager
#   kube-up.sh STATE_DIR up --node       the same, and pods really run (root; scheduler, kubelet,
#                                        containerd, runc, CNI bridge, kube-proxy, names of Services)
#   kube-up.sh STATE_DIR load TAR        the images in an archive (docker or OCI), for --node
#   kube-up.sh STATE_DIR image REF BINARY [KEY=VALUE...] [-- ARGUMENT...]
#                                        the same with an image of just that, as below
#   kube-up.sh STATE_DIR status          0 when the API answers
#   kube-up.sh STATE_DIR down            stop everything, undo host changes, remove STATE_DIR
#   kube-up.sh - build [--node]          only fill the cache (the slow part)
#   kube-up.sh - archive TAR REF BINARY [KEY=VALUE...] [-- ARGUMENT...]
#                                        FROM-scratch image with that binary, the libraries of this
#                                        machine that it needs, environment and first arguments
#   kube-up.sh - rules                   the path of crd-rules, which judges custom resources with the code
#                                        of a current API server (see crd-rules.go); made first, if need be
#   kube-up.sh - check [--node]          says why it cannot work on this machine, if so
#
# stdout is one line, the path of the kubeconfig; progress goes to stderr.
#
# Where the binaries come from: the Debian 12 source package "kubernetes" is the whole of
# Kubernetes 1.20.2 with its vendored dependencies, although Debian builds only kubectl from
# it. The first run downloads it with apt, compiles it with Debian's own Go 1.19 and keeps the
# result in the cache. etcd, containerd, runc and the CNI plugins are plain Debian binaries.
# Nothing is installed: packages are unpacked below the cache, with a private apt configuration.
#
# Without --node no pod runs; the tests give their pods a status themselves.
#
# Environment:
#   KUBE_CACHE      default ${XDG_CACHE_HOME:-$HOME/.cache}/kube-up   (keep it between CI runs)
#   KUBE_DEB_URI    default: the Debian mirror that this machine's apt already uses
#   KUBE_BUILD_JOBS default: one for each processor
#   KUBE_PORT       default: a free port;  API port (6443 with --node)
#   KUBE_PORTS      default 15000-18999, the range that free ports are taken from
#   KUBE_OWNER      a process id: brought down when that process is gone
#   KUBE_KEEP_FAILED=1  leave STATE_DIR (logs are in STATE_DIR/log) when up fails
#   KUBE_NODE_IP    default 10.86.0.1     --node only: host-only address, put on lo
#   KUBE_POD_NET    default 10.85.0       --node only: first three bytes of the pods' /24
set -euo pipefail

KVER=1.20.2
CACHE=${KUBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-up}
NODE_IP=${KUBE_NODE_IP:-10.86.0.1}
POD_NET=${KUBE_POD_NET:-10.85.0}
BRIDGE=kubeup0
SELF=$(readlink -f "$0")
HERE=$(dirname "$SELF")
JOBS=${KUBE_BUILD_JOBS:-$(nproc 2>/dev/null || echo 2)}

say() { printf 'kube-up: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
need() { local c; for c; do command -v "$c" >/dev/null || die "missing command: $c"; done; }

usage() { sed -n '2,/^set -e/{/^#/{s/^# \{0,1\}//;p}}' "$SELF" >&2; exit 2; }

# ---------------------------------------------------------------- packages and build

ROOT=$CACHE/root
BIN=$CACHE/bin

debian_uri() {
  if [ -n "${KUBE_DEB_URI:-}" ]; then echo "$KUBE_DEB_URI"; return; fi
  # the first plain suite (no "-security", "-updates") with component main
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)' |
    awk '$4 == "Packages" && $3 == "main" && $2 !~ /[-\/]/ { print $1; exit }'
}

apt_private() { APT_CONFIG=$CACHE/apt/apt.conf "$@"; }

apt_setup() { # apt_setup [SUITE]
  local a=$CACHE/apt uri key=/usr/share/keyrings/debian-archive-keyring.gpg by=""
  uri=$(debian_uri); [ -n "$uri" ] || die "no Debian mirror in this machine's apt sources; set KUBE_DEB_URI"
  [ -r "$key" ] && by="[signed-by=$key]"
  mkdir -p "$a/lists/partial" "$a/cache/archives/partial" "$a/state"; : >"$a/state/status"
  printf 'deb %s %s %s main\ndeb-src %s %s %s main\n' "$by" "$uri" "${1:-bookworm}" "$by" "$uri" "${1:-bookworm}" >"$a/sources.list"
  cat >"$a/apt.conf" <<E
Dir::Etc::sourcelist "$a/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$a/state";
Dir::State::status "$a/state/status";
Dir::State::Lists "$a/lists";
Dir::Cache "$a/cache";
Acquire::Languages "none";
APT::Sandbox::User "";
E
  apt_private apt-get -qq update >&2
}

# unpack PACKAGE...: below $ROOT, without installing
unpack() {
  local d; d=$(mktemp -d "$CACHE/deb.XXXXXX")
  (cd "$d" && apt_private apt-get -qq download "$@" >&2)
  local f; for f in "$d"/*.deb; do dpkg-deb -x "$f" "$ROOT"; done
  rm -rf "$d"
}

go_env() {
  export GOROOT=$CACHE/root/usr/lib/go-1.19 GOPATH=$CACHE/build/gopath GOCACHE=$CACHE/build/gocache
  export GO111MODULE=off GOPROXY=off GOFLAGS= CGO_ENABLED=0
  export PATH=$GOROOT/bin:$PATH
}

fetch_source() {
  local k=$CACHE/build/gopath/src/k8s.io/kubernetes
  [ -e "$k/.kube-up-ready" ] && return
  say "source package kubernetes $KVER"
  rm -rf "$CACHE/build/gopath"; mkdir -p "$k" "$CACHE/build/dl"
  (cd "$CACHE/build/dl" && apt_private apt-get -qq source --download-only kubernetes >&2)
  tar xzf "$CACHE"/build/dl/kubernetes_*.orig.tar.gz -C "$k" --strip-components=1
  rm -rf "$CACHE/build/dl"
  # reflect2 1.0.1 in the vendor tree crashes under Go >= 1.18; Debian packages 1.0.2
  rm -rf "$k/vendor/github.com/modern-go/reflect2"
  cp -r "$ROOT/usr/share/gocode/src/github.com/modern-go/reflect2" "$k/vendor/github.com/modern-go/reflect2"
  # the only generated file that the tarball lacks
  cd "$k"
  go build -p "$JOBS" -o "$CACHE/build/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  local dirs
  dirs=$(grep -Rl --include='*.go' '+k8s:openapi-gen=' vendor/k8s.io pkg cmd plugin 2>/dev/null | xargs -n1 dirname |
    grep -vE 'code-generator|sample-apiserver|kube-openapi|vendor/k8s.io/gengo' | LC_ALL=C sort -u |
    sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
  "$CACHE/build/openapi-gen" --logtostderr -i "$dirs" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$CACHE/build/violations"
  cd - >/dev/null
  touch "$k/.kube-up-ready"
}

compile() { # compile NAME...: those of them that are not in the cache yet
  local b t v ld="-s -w" k=$CACHE/build/gopath/src/k8s.io/kubernetes
  for v in component-base/version client-go/pkg/version; do
    v=k8s.io/kubernetes/vendor/k8s.io/$v; ld="$ld -X $v.gitVersion=v$KVER -X $v.gitMajor=1 -X $v.gitMinor=20"
  done
  for b; do
    t=$(date +%s); say "compiling $b (minutes, once)"
    (cd "$k" && go build -p "$JOBS" -tags providerless,dockerless -ldflags "$ld" -o "$BIN/$b.new" "./cmd/$b")
    mv "$BIN/$b.new" "$BIN/$b"; say "$b: $(($(date +%s) - t)) s, $(stat -c %s "$BIN/$b") bytes"
  done
}

build() { # build [--node]
  local want=(kube-apiserver kube-controller-manager) todo=() b
  [ "${1:-}" = --node ] && want+=(kube-scheduler kubelet kube-proxy)
  mkdir -p "$CACHE" "$BIN" "$ROOT"
  exec 9>"$CACHE/lock"; flock 9
  for b in "${want[@]}"; do [ -x "$BIN/$b" ] || todo+=("$b"); done
  if [ ${#todo[@]} -gt 0 ] || [ ! -x "$ROOT/usr/bin/etcd" ] ||
     { [ "${1:-}" = --node ] && { [ ! -x "$BIN/containerd" ] || [ ! -x "$BIN/pause" ] || [ ! -x "$BIN/dns" ]; }; }; then
    need apt-get dpkg-deb tar xz gzip grep sed awk; apt_setup
    [ -x "$ROOT/usr/bin/etcd" ] || { say "packages: etcd, kubectl"; unpack etcd-server kubernetes-client; }
    if [ ${#todo[@]} -gt 0 ] || [ "${1:-}" = --node ]; then
      [ -x "$ROOT/usr/lib/go-1.19/bin/go" ] || { say "packages: Go 1.19"; unpack golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev; }
      go_env
    fi
    if [ ${#todo[@]} -gt 0 ]; then fetch_source; compile "${todo[@]}"; fi
    if [ "${1:-}" = --node ] && [ ! -x "$BIN/containerd" ]; then
      say "packages: containerd, runc, CNI plugins, iptables"
      unpack containerd runc containernetworking-plugins iptables conntrack libxtables12 libip4tc2 libip6tc2 \
        libnftnl11 libnfnetlink0 libnetfilter-conntrack3 libmnl0 libseccomp2
      local n
      for n in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore conntrack; do
        case $n in conntrack) b=conntrack ;; *) b="xtables-nft-multi $n" ;; esac
        printf '#!/bin/sh\nr=$(dirname "$(readlink -f "$0")")/../root/usr\nexport LD_LIBRARY_PATH=$r/lib/x86_64-linux-gnu XTABLES_LIBDIR=$r/lib/x86_64-linux-gnu/xtables\nexec $r/sbin/%s "$@"\n' "$b" >"$BIN/$n"
        chmod +x "$BIN/$n"
      done
      for n in containerd containerd-shim-runc-v2 ctr; do ln -sf "../root/usr/bin/$n" "$BIN/$n"; done
      ln -sf ../root/usr/sbin/runc "$BIN/runc"
    fi
    if [ "${1:-}" = --node ]; then
      for b in pause dns; do
        [ -x "$BIN/$b" ] || { mkdir -p "$GOCACHE"; go build -ldflags '-s -w' -o "$BIN/$b" "$HERE/$b.go"; }
      done
    fi
    # sources, Go and its cache are several GB and not needed any more once a full build is there
    if [ -x "$BIN/kube-proxy" ] || [ "${KUBE_KEEP_BUILD:-0}" = 0 ]; then
      chmod -R u+w "$CACHE/build" 2>/dev/null || true
      rm -rf "$CACHE/build" "$ROOT/usr/lib/go-1.19" "$ROOT/usr/share/go-1.19" "$ROOT/usr/share/gocode" "$CACHE/apt"
    fi
  fi
  ln -sf ../root/usr/bin/kubectl "$BIN/kubectl"
  flock -u 9; exec 9>&-
}

# rules: Debian has no current API server, but its library of custom resources, with a current Go.
rules() {
  local root=$CACHE/rules packages version
  need apt-get dpkg-deb tar xz gzip grep sed awk
  mkdir -p "$BIN"; exec 9>"$CACHE/lock"; flock 9
  [ ! "$BIN/crd-rules" -nt "$HERE/crd-rules.go" ] || return 0
  say "packages: the API server's library of custom resources, Go (324 MB; 3 GB unpacked, for a while)"
  rm -rf "$root" "$CACHE/apt"; mkdir -p "$root"
  apt_setup sid
  packages=$(apt_private apt-get install -s --no-install-recommends golang-k8s-apiextensions-apiserver-dev | awk '/^Inst golang/ { print $2 }')
  version=$(apt_private apt-cache show golang-k8s-apiextensions-apiserver-dev | sed -n 's/^Version: 0\.\([0-9.]*\).*/1.\1/p' | head -n 1)
  # shellcheck disable=SC2086 # names of packages
  ROOT=$root unpack $packages
  say "compiling crd-rules (minutes, once)"
  (
    GOROOT=$(find "$root/usr/lib" -maxdepth 1 -name 'go-1.*' | sort -V | tail -n 1)
    export GOROOT GOPATH=$root/usr/share/gocode GOCACHE=$root/gocache GOTOOLCHAIN=local
    export GO111MODULE=off GOPROXY=off GOFLAGS= CGO_ENABLED=0
    "$GOROOT/bin/go" build -p "$JOBS" -ldflags "-s -w -X 'main.server=Kubernetes $version'" -o "$BIN/crd-rules" "$HERE/crd-rules.go"
  )
  touch "$BIN/crd-rules"
  chmod -R u+w "$root"; rm -rf "$root" "$CACHE/apt"
}

check() { # check [--node]
  local b todo=0
  need openssl setsid flock
  [ "${1:-}" != --node ] || node_check
  for b in kube-apiserver kube-controller-manager; do [ -x "$BIN/$b" ] || todo=1; done
  [ $todo = 0 ] || need apt-get dpkg-deb tar xz gzip grep sed awk
}

kubectl_bin() { command -v kubectl || echo "$ROOT/usr/bin/kubectl"; }

# ---------------------------------------------------------------- running

free_port() {
  local p lo=${KUBE_PORTS:-15000-18999} hi
  hi=${lo#*-} lo=${lo%-*}
  while :; do
    p=$((lo + RANDOM % (hi - lo + 1)))
    (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo $p; return; }
  done
}

start() { # start NAME COMMAND...: in its own session, log and pid below the state directory
  local n=$1; shift
  setsid "$@" >"$S/log/$n.log" 2>&1 </dev/null &
  echo $! >"$S/pid/$n"
}

alive() { [ -f "$S/pid/$1" ] && kill -0 "$(cat "$S/pid/$1")" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$(cat "$S/pid/$1")/status" 2>/dev/null; }

stop() { # stop NAME: TERM, up to 5 s, then KILL
  local p i
  [ -f "$S/pid/$1" ] || return 0
  p=$(cat "$S/pid/$1")
  if alive "$1"; then
    kill "$p" 2>/dev/null || true
    for i in $(seq 25); do alive "$1" || break; sleep 0.2; done
    alive "$1" && kill -9 "$p" 2>/dev/null || true
  fi
  rm -f "$S/pid/$1"
}

wait_for() { # wait_for SECONDS NAME COMMAND...: NAME is the process that must stay alive
  local end=$(($(date +%s) + $1)) n=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    alive "$n" || { tail -n 15 "$S/log/$n.log" >&2; die "$n ended"; }
    [ "$(date +%s)" -lt "$end" ] || { tail -n 15 "$S/log/$n.log" >&2; die "$n: not ready in time"; }
    sleep 0.2
  done
}

k() { "$(kubectl_bin)" --kubeconfig "$S/kubeconfig" "$@"; }
ready() { [ -f "$S/kubeconfig" ] && alive apiserver && alive kcm && [ "$(k get --raw /readyz --request-timeout=5s 2>/dev/null)" = ok ]; }

pki() {
  local d=$S/pki addr=$1
  (
    cd "$d"
    openssl ecparam -genkey -name prime256v1 -noout -out ca.key
    openssl req -x509 -new -key ca.key -days 3650 -subj /CN=kube-up -out ca.crt
    openssl ecparam -genkey -name prime256v1 -noout -out srv.key
    openssl req -new -key srv.key -subj /O=system:masters/CN=kube-apiserver -out srv.csr
    printf 'subjectAltName=IP:127.0.0.1,IP:%s,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc\nextendedKeyUsage=serverAuth,clientAuth\n' "$addr" >ext
    openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile ext -out srv.crt
    openssl genrsa -out sa.key 2048
  ) >"$S/log/pki.log" 2>&1 || { cat "$S/log/pki.log" >&2; die "openssl failed"; }
}

up() {
  local mode=${1:-} addr=127.0.0.1 port eport pport token api=() kcm=()
  case $mode in ''|--node) ;; *) usage ;; esac
  need openssl setsid
  if ready; then
    [ "$(cat "$S/mode")" = "$mode" ] || die "already up in mode '$(cat "$S/mode")'; bring it down first"
    echo "$S/kubeconfig"; return
  fi
  [ ! -e "$S/.kube-up" ] || { say "not answering: starting afresh"; down; }
  [ "$mode" != --node ] || node_check
  build "$([ "$mode" = --node ] && echo --node)"
  [ -z "$(ls -A "$S" 2>/dev/null)" ] || die "$S is not empty and not mine"
  mkdir -p "$S"/{pid,log,pki}; chmod 700 "$S"; touch "$S/.kube-up"; echo "$mode" >"$S/mode"
  trap '[ "${KUBE_KEEP_FAILED:-0}" = 1 ] || { say "failed: undoing"; down; }' EXIT # until it is up
  [ "$mode" != --node ] || { node_net_up; addr=$NODE_IP; }
  port=${KUBE_PORT:-$([ "$mode" = --node ] && echo 6443 || free_port)}
  eport=$(free_port); pport=$(free_port); while [ "$pport" = "$eport" ]; do pport=$(free_port); done
  pki "$addr"
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  echo "$token,admin,admin,system:masters" >"$S/pki/tokens.csv"
  cat >"$S/kubeconfig" <<E
apiVersion: v1
kind: Config
clusters:
- name: kube-up
  cluster: {server: "https://$addr:$port", certificate-authority-data: $(base64 -w0 "$S/pki/ca.crt")}
users:
- name: admin
  user: {token: $token}
contexts:
- name: kube-up
  context: {cluster: kube-up, user: admin}
current-context: kube-up
E
  start etcd "$ROOT/usr/bin/etcd" --data-dir "$S/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$eport" --advertise-client-urls "http://127.0.0.1:$eport" \
    --listen-peer-urls "http://127.0.0.1:$pport" --initial-advertise-peer-urls "http://127.0.0.1:$pport" \
    --initial-cluster "default=http://127.0.0.1:$pport"
  if [ "$mode" = --node ]; then
    api=(--advertise-address="$addr" --kubelet-preferred-address-types=InternalIP
      --kubelet-client-certificate="$S/pki/srv.crt" --kubelet-client-key="$S/pki/srv.key")
    # the one node is this machine: it is not given up when tests stop the API server for a while
    kcm=(--node-monitor-grace-period=10m)
  else
    api=(--advertise-address="$addr" --endpoint-reconciler-type=none)
    kcm=(--controllers='*,bootstrapsigner,tokencleaner,-nodelifecycle')
  fi
  start apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$eport" --bind-address="$addr" --secure-port="$port" \
    --tls-cert-file="$S/pki/srv.crt" --tls-private-key-file="$S/pki/srv.key" --client-ca-file="$S/pki/ca.crt" \
    --token-auth-file="$S/pki/tokens.csv" --authorization-mode=Node,RBAC --allow-privileged=true \
    --service-account-key-file="$S/pki/sa.key" --service-account-signing-key-file="$S/pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.96.0.0/16 "${api[@]}"
  wait_for 90 apiserver k get --raw /readyz --request-timeout=3s
  start kcm "$BIN/kube-controller-manager" --kubeconfig="$S/kubeconfig" --service-account-private-key-file="$S/pki/sa.key" \
    --root-ca-file="$S/pki/ca.crt" --use-service-account-credentials=true --leader-elect=false --port=0 --secure-port=0 \
    --flex-volume-plugin-dir="$S/flex" "${kcm[@]}"
  wait_for 90 kcm k get serviceaccount default --request-timeout=3s
  [ "$mode" != --node ] || node_up
  [ -z "${KUBE_OWNER:-}" ] || start owner "$SELF" "$S" __owner "$KUBE_OWNER"
  trap - EXIT
  say "up: $(k get --raw /version | sed -n 's/.*"gitVersion": "\([^"]*\)".*/\1/p') at https://$addr:$port"
  echo "$S/kubeconfig"
}

down() {
  [ -e "$S/.kube-up" ] || { say "nothing at $S"; return 0; }
  set +e # go on whatever fails
  [ "$cmd" = __owner ] || stop owner
  [ "$(cat "$S/mode" 2>/dev/null)" != --node ] || node_down
  stop kcm; stop apiserver; stop etcd
  rm -rf "$S"
  set -e
}

# ---------------------------------------------------------------- a real node

SYSCTLS="net/ipv4/ip_forward net/ipv4/conf/all/route_localnet kernel/panic kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom kernel/keys/root_maxkeys kernel/keys/root_maxbytes"

# node_check: whether a node can run here. What is left of one that was killed before it could tidy up, with the
# session it ran in for example, is cleared away; a node that lives is not touched.
node_check() {
  local p
  need ip unshare mount find
  [ "$(id -u)" = 0 ] || die "--node needs root"
  for p in /proc/[0-9]*; do
    case $(readlink "$p/exe" 2>/dev/null) in */kubelet|*/k3s|*/k0s) die "process ${p#/proc/} is a kubelet, and there is one node at a time" ;; esac
  done
  if ip link show "$BRIDGE" >/dev/null 2>&1; then
    say "clearing away what is left of a node"
    for p in $(pod_processes); do kill -9 "$p" 2>/dev/null || true; done
    # shims outlive their containerd
    for p in /proc/[0-9]*; do
      [ "$(readlink "$p/exe" 2>/dev/null)" != "$ROOT/usr/bin/containerd-shim-runc-v2" ] || kill -9 "${p#/proc/}" 2>/dev/null || true
    done
    sleep 0.5
    host_clear
  fi
  [ -z "$(pod_processes)" ] || die "there are processes in the cgroup kubepods: pods of somebody else run here"
  host_cgroups_clear
}

pod_processes() {
  local f
  for f in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
    [ ! -d "$f" ] || find "$f" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -u
}

# What --node changes outside of its state directory.
host_clear() {
  local t
  PATH=$BIN:$PATH
  for t in nat filter mangle; do
    if iptables-save -t "$t" 2>/dev/null | grep -q KUBE; then iptables-save -t "$t" | grep -v KUBE | iptables-restore || true; fi
    if ip6tables-save -t "$t" 2>/dev/null | grep -q KUBE; then ip6tables-save -t "$t" | grep -v KUBE | ip6tables-restore || true; fi
  done
  ip link del "$BRIDGE" 2>/dev/null || true
  ip addr del "$NODE_IP/32" dev lo 2>/dev/null || true
  ip link del kube-ipvs0 2>/dev/null || true
}

host_cgroups_clear() {
  local f
  for f in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
    [ ! -d "$f" ] || find "$f" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}

node_net_up() {
  local f; mkdir -p "$S/sysctl"
  for f in $SYSCTLS; do [ ! -r "/proc/sys/$f" ] || cat "/proc/sys/$f" >"$S/sysctl/${f//\//.}"; done
  ip addr replace "$NODE_IP/32" dev lo
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

make_image() { # make_image OUT REF BINARY [KEY=VALUE...] [-- ARGUMENT...]
  local out=$1 ref=$2 bin=$3 d dig cd env="" entry='"/app"' e lib; shift 3
  case $ref in */*/*) ;; */*) ref=docker.io/$ref ;; *) ref=docker.io/library/$ref ;; esac
  d=$(mktemp -d); mkdir "$d/l" "$d/l/tmp"; chmod 1777 "$d/l/tmp"
  cp "$bin" "$d/l/app"; chmod 755 "$d/l/app"
  strip -g "$d/l/app" 2>/dev/null || true
  # a dynamic binary needs the loader and libraries, at the same places
  while read -r lib; do
    mkdir -p "$d/l$(dirname "$lib")"; cp -L "$lib" "$d/l$lib"
  done < <(ldd "$bin" 2>/dev/null | grep -o '/[^ ]*' || true)
  tar --owner=0 --group=0 --mtime=@0 -cf "$d/layer.tar" -C "$d/l" .
  dig=$(sha256sum <"$d/layer.tar" | cut -d' ' -f1)
  while [ $# -gt 0 ] && [ "$1" != -- ]; do env="$env${env:+,}$(json_text "$1")"; shift; done
  [ $# -eq 0 ] || shift
  for e; do entry="$entry,$(json_text "$e")"; done
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":[%s],"Env":[%s],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"scratch"}]}' "$entry" "$env" "$dig" >"$d/config"
  cd=$(sha256sum <"$d/config" | cut -d' ' -f1); mv "$d/config" "$d/$cd.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$cd" "$ref" >"$d/manifest.json"
  tar -cf "$out" -C "$d" "$cd.json" layer.tar manifest.json
  rm -rf "$d"
}

json_text() { local t=${1//\\/\\\\}; printf '"%s"' "${t//\"/\\\"}"; }

load() {
  [ "$(cat "$S/mode" 2>/dev/null)" = --node ] || die "load: bring it up with --node first"
  [ $# -eq 1 ] || usage
  "$BIN/ctr" -a "$S/containerd.sock" -n k8s.io images import "$1" >&2
}

image() {
  [ "$(cat "$S/mode" 2>/dev/null)" = --node ] || die "image: bring it up with --node first"
  [ $# -ge 2 ] || usage
  local out; out=$(mktemp "$S/image.XXXXXX")
  make_image "$out" "$@"
  load "$out"
  rm -f "$out"
}

node_up() {
  local kport chain; kport=$(free_port)
  mkdir -p "$S"/{cni,cd-root,cd-state,kubelet,run,log/var,lib}
  cat >"$S/containerd.toml" <<E
version = 2
root = "$S/cd-root"
state = "$S/cd-state"
[grpc]
  address = "$S/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$S/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/kube-up/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$ROOT/usr/lib/cni"
    conf_dir = "$S/cni"
E
  printf '{"cniVersion":"0.4.0","name":"kube-up","plugins":[{"type":"bridge","bridge":"%s","isGateway":true,"hairpinMode":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"%s.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}\n' \
    "$BRIDGE" "$POD_NET" >"$S/cni/10-kube-up.conflist"
  cat >"$S/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
port: $kport
healthzPort: 0
readOnlyPort: 0
cgroupDriver: cgroupfs
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: "$S/pki/ca.crt"}}
authorization: {mode: AlwaysAllow}
resolvConf: ""
clusterDNS: ["$NODE_IP"]
clusterDomain: cluster.local
makeIPTablesUtilChains: false
evictionHard: {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"}
imageGCHighThresholdPercent: 100
volumePluginDir: $S/flex
E
  cat >"$S/kube-proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 127.0.0.1
healthzBindAddress: ""
metricsBindAddress: "127.0.0.1:$(free_port)"
clientConnection: {kubeconfig: "$S/kubeconfig"}
mode: iptables
hostnameOverride: node1
clusterCIDR: $POD_NET.0/24
nodePortAddresses: ["$NODE_IP/32"]
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
E
  export PATH=$BIN:$PATH
  start scheduler "$BIN/kube-scheduler" --kubeconfig="$S/kubeconfig" --leader-elect=false --port=0 --secure-port=0
  # a private mount namespace keeps /run, /var/lib and /var/log of the host clean
  start node unshare -m --propagation private bash -c '
    S=$1; shift
    mount --bind "$S/run" /run; mount --bind "$S/lib" /var/lib; mount --bind "$S/log/var" /var/log
    containerd -c "$S/containerd.toml" >"$S/log/containerd.log" 2>&1 & echo $! >"$S/pid/containerd"
    until ctr -a "$S/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
    touch "$S/run/containerd-up"
    until [ -e "$S/run/pause-up" ]; do sleep 0.1; done
    exec kubelet "$@"' - "$S" --config="$S/kubelet.yaml" --container-runtime=remote \
    --container-runtime-endpoint="unix://$S/containerd.sock" --kubeconfig="$S/kubeconfig" --root-dir="$S/kubelet" \
    --cert-dir="$S/kubelet-pki" --hostname-override=node1 --node-ip="$NODE_IP"
  start dns "$BIN/dns" "$NODE_IP:53" "$(sed -n 's/.*server: "\([^"]*\)".*/\1/p' "$S/kubeconfig")" "$S/pki/ca.crt" "$(cut -d, -f1 "$S/pki/tokens.csv")"
  wait_for 60 node test -e "$S/run/containerd-up"
  image localhost/kube-up/pause:1 "$BIN/pause"
  touch "$S/run/pause-up"
  wait_for 90 node sh -c "'$(kubectl_bin)' --kubeconfig '$S/kubeconfig' get node node1 --request-timeout=3s 2>/dev/null | grep -q ' Ready'"
  # kube-proxy listens on node ports itself so that nobody else does, and never answers. A connection that comes just while it writes its
  # rules anew can get there: better that its first packet is lost and sent again than that it hangs. From this machine that has to be
  # on the way out, before the connection is known as one that is not translated.
  for chain in INPUT OUTPUT; do
    iptables -I $chain -d "$NODE_IP" -p tcp --syn --dport 30000:32767 -m comment --comment KUBE-NOT-TRANSLATED -j DROP
  done
  start kube-proxy "$BIN/kube-proxy" --config="$S/kube-proxy.yaml"
}

node_down() {
  local p f t
  stop kube-proxy; stop scheduler; stop dns; stop node
  for p in $(pod_processes); do kill -9 "$p" 2>/dev/null; done
  sleep 0.5
  # shims: they carry the address of this containerd in their command line
  for p in /proc/[0-9]*; do
    { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -q "containerd-shim-runc-v2 .*-address $S/containerd.sock" && kill -9 "${p#/proc/}" 2>/dev/null
  done
  stop containerd
  host_clear
  for f in "$S"/sysctl/*; do t=${f##*/}; [ ! -f "$f" ] || cat "$f" >"/proc/sys/${t//.//}" 2>/dev/null || true; done
  host_cgroups_clear
}

# ---------------------------------------------------------------- command line

[ $# -ge 1 ] || usage
case $1 in
  -)
    case ${2:-} in
      build) build "${3:-}" ;;
      check) check "${3:-}" ;;
      rules) rules; echo "$BIN/crd-rules" ;;
      archive) [ $# -ge 5 ] || usage; make_image "${@:3}" ;;
      *) usage ;;
    esac
    exit ;;
  -*) usage ;;
esac
S=$(realpath -m "$1"); shift
cmd=${1:-up}; [ $# -eq 0 ] || shift
case $cmd in
  up) up "$@" ;;
  down) down ;;
  status) ready && echo "$S/kubeconfig" ;;
  image) image "$@" ;;
  load) load "$@" ;;
  __owner) while kill -0 "$1" 2>/dev/null; do sleep 1; done; down ;;
  *) usage ;;
esac
