"""A real HTTP server that takes messages as a test says: well, slowly, wrongly, elsewhere, or never."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Listens on a port of its own. `answers` are taken one after the other, the last for ever."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers) or [200]
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.came = threading.Event()
        self._end = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                receiver.taken.append((self.path, dict(self.headers.items()), body))
                receiver.came.set()
                answer = receiver.answers[0]
                if len(receiver.answers) > 1:
                    receiver.answers.pop(0)
                try:
                    self._answer(answer)
                except OSError:
                    pass  # who sent it went away

            do_GET = do_POST

            def _answer(self, answer):
                if answer == "hang":
                    receiver._end.wait(60)
                elif answer == "drip":  # each byte in time, the whole never
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while not receiver._end.wait(0.1):
                        self.wfile.write(b"X: x\r\n")
                        self.wfile.flush()
                elif isinstance(answer, str):
                    self.send_response(302)
                    self.send_header("Location", answer)
                    self.end_headers()
                else:
                    self.send_response(answer)
                    self.end_headers()
                    self.wfile.write(b"secret-of-the-receiver")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
