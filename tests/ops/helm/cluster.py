"""As much of a Kubernetes API server as `lookup` of a template asks: the resources it is given, by their paths."""

import contextlib
import http.server
import json
import threading

DEPLOYMENTS = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
    {"name": "deployments", "singularName": "deployment", "namespaced": True, "kind": "Deployment", "verbs": ["get"]}]}


@contextlib.contextmanager
def with_deployments(deployments):
    """The address of a server that has these Deployments."""
    found = {"/apis/apps/v1": DEPLOYMENTS}
    for one in deployments:
        found[f"/apis/apps/v1/namespaces/{one['metadata']['namespace']}/deployments/{one['metadata']['name']}"] = one

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = found.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer or missing).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
