"""Real clients believe the leaves, given nothing but the file their variable names (S41)."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs.served import Served, engines, ours
from keyswap.certs.trust import trust_variables

pytestmark = pytest.mark.e2e

HOST = "api.example.com"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nbelieve"

NODE = """
const socket = require("tls").connect({host: "127.0.0.1", port: +process.argv[1], servername: "api.example.com"}, () =>
  socket.write("GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n"))
socket.on("data", data => process.stdout.write(data))
socket.on("error", error => { console.log(error.code); process.exit(1) })
"""
JAVA = """
import java.io.*; import java.net.Socket; import java.nio.file.*; import java.security.KeyStore;
import java.security.cert.CertificateFactory; import javax.net.ssl.*;
class Believe {
  public static void main(String[] argv) throws Exception {
    var roots = KeyStore.getInstance(KeyStore.getDefaultType());
    roots.load(null, null);
    try (var file = new FileInputStream(argv[1])) {
      roots.setCertificateEntry("keyswap", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    var trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(roots);
    var context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    var plain = new Socket("127.0.0.1", Integer.parseInt(argv[0]));
    var socket = (SSLSocket) context.getSocketFactory().createSocket(plain, "api.example.com", plain.getPort(), true);
    var parameters = socket.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    socket.setSSLParameters(parameters);
    socket.getOutputStream().write("GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n".getBytes());
    System.out.write(socket.getInputStream().readAllBytes());
    System.out.flush();
  }
}
"""


def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(connection, server_side=True) as stream:
                stream.settimeout(10)
                if stream.recv(65536):
                    stream.sendall(ANSWER)
        except OSError:
            connection.close()


@pytest.fixture(params=[ours, engines], ids=["ours", "engines"])
def port(request: pytest.FixtureRequest, authority: Path) -> Iterator[int]:
    """A TLS server on loopback that shows a leaf for HOST."""
    served: Served = request.param(authority, HOST)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, served.context()), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def command(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} command")
    return found


def run(*argv: str, told: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(told or {})}
    return subprocess.run(argv, env=environ, input=b"", capture_output=True, timeout=50, check=False)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_S41_curl_believes_the_leaf(port: int, authority: Path, variable: str) -> None:
    told = trust_variables(authority)
    argv = [command("curl"), "-qsS", "--resolve", f"{HOST}:{port}:127.0.0.1", f"https://{HOST}:{port}/"]
    assert run(*argv, told={variable: told[variable]}).stdout == b"believe"
    assert run(*argv).returncode == 60  # CURLE_PEER_FAILED_VERIFICATION


def test_S41_node_believes_the_leaf(port: int, authority: Path) -> None:
    told = trust_variables(authority)
    argv = [command("node"), "-e", NODE, str(port)]
    done = run(*argv, told={"NODE_EXTRA_CA_CERTS": told["NODE_EXTRA_CA_CERTS"]})
    assert done.stdout.endswith(b"believe"), done.stderr
    assert run(*argv).returncode == 1


def test_S41_openssl_believes_the_leaf_strictly(port: int, authority: Path, openssl: str) -> None:
    argv = [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", HOST, "-verify_hostname", HOST]
    argv += ["-verify_return_error", "-x509_strict", "-brief"]
    assert run(*argv, "-CAfile", str(authority / "ca.pem")).returncode == 0
    assert run(*argv).returncode == 1


def test_S41_java_believes_the_leaf(port: int, authority: Path, tmp_path: Path) -> None:
    java = command("java")
    if "jdk.compiler" not in run(java, "--list-modules").stdout.decode():
        pytest.skip("this Java has no compiler")
    (tmp_path / "Believe.java").write_text(JAVA)
    done = run(java, str(tmp_path / "Believe.java"), str(port), str(authority / "ca.pem"))
    assert done.stdout.endswith(b"believe"), done.stderr
