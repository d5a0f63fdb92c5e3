"""An HTTP server in front of the emulator: it counts the calls, and answers some of them as AWS does on a bad day."""

import http.client
import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        verb = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        status, answer = self.server.owner.answer(verb, dict(self.headers), body)
        if status is None:  # no answer at all
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.open = set()

    def process_request_thread(self, request, client_address):
        self.open.add(request)
        super().process_request_thread(request, client_address)
        self.open.discard(request)

    def handle_error(self, request, client_address):
        pass  # a client that has gone


class FaultyAws:
    """Calls go to the emulator at `url`, unless a fault was planned for their verb."""

    def __init__(self, url):
        self._upstream = urlsplit(url).netloc
        self.calls = Counter()
        self.asked = []
        """(verb, what was asked), in order."""
        self._faults = []
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = "http://{}:{}".format(*self._server.server_address)

    def fail(self, verb, code, *, status=400, times=1, message="on purpose"):
        """Answer the next calls of a verb with an error."""
        body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message}).encode()
        self._faults += [(verb, lambda asked, forward: (status, body))] * times

    def refuse_entries(self, verb, numbers, code, *, sender_fault, times=1):
        """Carry out the next calls of a batch verb but for some entries."""

        def answer(asked, forward):
            refused = [each for number, each in enumerate(asked["Entries"]) if number in numbers]
            rest = [each for each in asked["Entries"] if each not in refused]
            status, answer = forward({**asked, "Entries": rest}) if rest else (200, b"{}")
            told = json.loads(answer)
            told["Failed"] = [
                {"Id": each["Id"], "Code": code, "Message": "on purpose", "SenderFault": sender_fault}
                for each in refused
            ]
            return status, json.dumps(told).encode()

        self._faults += [(verb, answer)] * times

    def swallow_answer(self, verb, *, times=1):
        """Carry out the next calls of a verb and hang up without an answer."""
        self._faults += [(verb, lambda asked, forward: (forward(asked) and None, b""))] * times

    def answer(self, verb, headers, body):
        asked = json.loads(body)
        with self._lock:
            self.calls[verb] += 1
            self.asked.append((verb, asked))
            fault = next((each for each in self._faults if each[0] == verb), None)
            if fault is not None:
                self._faults.remove(fault)
        if fault is None:
            return self._forward(headers, asked)
        return fault[1](asked, lambda changed: self._forward(headers, changed))

    def _forward(self, headers, asked):
        kept = {
            name: value
            for name, value in headers.items()
            if name.lower() in ("authorization", "content-type", "x-amz-target")
        }
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        try:
            connection.request("POST", "/", json.dumps(asked), kept)
            got = connection.getresponse()
            return got.status, got.read()
        finally:
            connection.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        for each in list(self._server.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
