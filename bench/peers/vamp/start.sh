# Vamp for the comparison of proxies: one process, $THREADS workers, no access log.
# Environment: P_H1 P_TLS P_H2C P_SPLIT P_ADMIN (ports), BE_A BE_B (ports of the origins), CERT KEY (files), BIN (the binary), RUN (work folder), THREADS.
rm -rf "$RUN/data"
(
  for _ in $(seq 100); do curl -sf "http://127.0.0.1:$P_ADMIN/readyz" >/dev/null && break; sleep 0.05; done
  put() { curl -sf -X PUT "http://127.0.0.1:$P_ADMIN/api/v1/gateways/$1?wait=applied" --data-binary @- >/dev/null; }
  for gateway in "h1 $P_H1" "h2c $P_H2C"; do
    put "${gateway% *}" <<Y
name: ${gateway% *}
port: ${gateway#* }
routes: {"[127.0.0.1:$BE_A]": {weight: 100%}}
Y
  done
  put tls <<Y
name: tls
port: $P_TLS
tls: {certificate: $CERT, key: $KEY}
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
