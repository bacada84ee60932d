# Reads lines "A B" (weights), applies each to the split gateway through the API, answers ok or err.
exec python3 -u -c '
import http.client, json, os, sys
admin = http.client.HTTPConnection("127.0.0.1", int(os.environ["P_ADMIN"]), timeout=3)
a_path, b_path = ("[127.0.0.1:%s]" % os.environ[name] for name in ("BE_A", "BE_B"))
for line in sys.stdin:
    a, b = line.split()
    routes = {a_path: {"weight": a + "%"}, b_path: {"weight": b + "%", "condition": "header X-Canary has yes"}}
    body = json.dumps({"name": "split", "port": os.environ["P_SPLIT"], "sticky": "route", "routes": routes})
    try:
        admin.request("PUT", "/api/v1/gateways/split", body, {"Content-Type": "application/json"})
        answer = admin.getresponse(); answer.read()
        print("ok" if answer.status < 300 else f"err {answer.status}", flush=True)
    except Exception as error:
        print("err", error, flush=True); admin.close()
'
