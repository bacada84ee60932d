# Vamp for the comparison of proxies: one process, $THREADS workers, no access log.
# Environment: P_H1 P_SPLIT P_ADMIN (ports), BE_A BE_B (ports of the origins), BIN (the binary), RUN (work folder), THREADS.
rm -rf "$RUN/data"
(
  for _ in $(seq 100); do curl -sf "http://127.0.0.1:$P_ADMIN/readyz" >/dev/null && break; sleep 0.05; done
  put() { curl -sf -X PUT "http://127.0.0.1:$P_ADMIN/api/v1/gateways/$1?wait=applied" --data-binary @- >/dev/null; }
  put h1 <<Y
name: h1
port: $P_H1
routes: {"[127.0.0.1:$BE_A]": {weight: 100%}}
Y
  put split <<Y
name: split
port: $P_SPLIT
sticky: route
routes:
  "[127.0.0.1:$BE_A]": {weight: 90%}
  "[127.0.0.1:$BE_B]": {weight: 10%, condition: "header X-Canary has yes", condition_strength: 100%}
Y
) &
exec "$BIN" serve --data-dir "$RUN/data" --api-listen "127.0.0.1:$P_ADMIN" --virtual-host-listen 127.0.0.1:0 \
  --workers "$THREADS" --log warn
