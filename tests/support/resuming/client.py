"""Dials each port that it reads, over TLS, with a client's certificate and the session of the last connection.

client.py CERTIFICATES VERSION (the highest of TLS). Prints, as a line of JSON for each: whether the session was resumed, and
what the server answered to an option.
"""

import json
import socket
import ssl
import sys

certificates, version = sys.argv[1:]
context = ssl.create_default_context(cafile=f"{certificates}/ca.pem")
context.load_cert_chain(f"{certificates}/client.pem", f"{certificates}/client.key")
context.maximum_version = ssl.TLSVersion[version]
session = None
for port in sys.stdin:
    resumed, answer = False, ""
    try:
        below = socket.create_connection(("127.0.0.1", int(port)))
        with context.wrap_socket(below, server_hostname="localhost", session=session) as conn:
            resumed = conn.session_reused
            conn.sendall(b'{"magicNumber":3927900}\n')
            answer = conn.recv(65536).decode()
            if answer != "":
                session = conn.session
    except ssl.SSLError:
        session = None
    except OSError:
        pass
    print(json.dumps({"resumed": resumed, "answer": answer}), flush=True)
