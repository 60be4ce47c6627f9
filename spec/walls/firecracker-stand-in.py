#!/usr/bin/python3 -SEB
"""Speaks the published API of Firecracker (1.13) over its socket, as strictly as Firecracker does, and runs the machine that it is told of by QEMU, emulated:
its guest has a serial port where a guest of Firecracker's has vsock, which is the one thing in which they differ for whoever is at the other end."""
import json
import os
import re
import socket
import subprocess
import sys

MODE = "serve"
KEPT_OPEN = []

# Of each request: the fields that must be there, and those that may.
SHAPES = {
    "/machine-config": ({"vcpu_count", "mem_size_mib"}, {"smt", "track_dirty_pages", "cpu_template", "huge_pages"}),
    "/boot-source": ({"kernel_image_path"}, {"boot_args", "initrd_path"}),
    "/drives/": ({"drive_id", "is_root_device"}, {"path_on_host", "is_read_only", "cache_type", "io_engine", "rate_limiter", "partuuid", "socket"}),
    "/vsock": ({"guest_cid", "uds_path"}, {"vsock_id"}),
    "/network-interfaces/": ({"iface_id", "host_dev_name"}, {"guest_mac", "rx_rate_limiter", "tx_rate_limiter"}),
    "/actions": ({"action_type"}, set()),
}


def shape_of(path):
    return next((shape for prefix, shape in SHAPES.items() if path == prefix or prefix.endswith("/") and path.startswith(prefix)), None)


def complaint(path, body, told):
    must, may = shape_of(path) or (None, None)
    if must is None:
        return f"Invalid request method and/or path: {path}"
    missing, unknown = must - body.keys(), body.keys() - must - may
    if missing or unknown:
        return f"missing {sorted(missing)}, unknown {sorted(unknown)}"
    for named in ("kernel_image_path", "initrd_path", "path_on_host"):
        if named in body and not os.access(body[named], os.R_OK if body.get("is_read_only", True) else os.R_OK | os.W_OK):
            return f"{named}: {body[named]} cannot be opened"
    if path == "/actions" and not {"/boot-source", "/machine-config"} <= {before for before, _ in told}:
        return "the machine is not configured"
    return None


def megahertz():
    with open("/proc/cpuinfo") as told:
        return float(re.search(r"^cpu MHz\s*:\s*([\d.]+)$", told.read(), re.M)[1])


def begin(told):
    body = dict(told)
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(body["/vsock"]["uds_path"] + "_1024")
    KEPT_OPEN.append(channel)
    if MODE == "babble":
        return channel.sendall(b"\xff" * 4096)
    if MODE == "dies later":
        os._exit(1)
    start, size = body["/boot-source"], body["/machine-config"]
    line = f"console=ttyS0 quiet tsc=reliable no_timer_check tsc_early_khz={round(megahertz() * 1000)} mitigations=off nopti spectre_v2=off audit=0 \
8250.nr_uarts=1 init_on_alloc=0 apparmor=0 lsm= panic=-1 reboot=t rdinit=/init -- vm"
    words = ["/usr/bin/qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"]
    words += ["-machine", "microvm,pit=off,pic=off,rtc=on,isa-serial=on", "-m", f"{size['mem_size_mib']}M", "-smp", str(size["vcpu_count"])]
    words += ["-accel", "tcg,thread=multi,tb-size=128", "-cpu", "max", "-serial", "stdio"]
    words += ["-kernel", start["kernel_image_path"], "-initrd", start["initrd_path"], "-append", line]
    words += ["-chardev", f"socket,id=agent,fd={channel.fileno()}", "-device", "virtio-serial-device", "-device", "virtserialport,chardev=agent,nr=1"]
    for path, drive in told:
        if path.startswith("/drives/"):
            name, only = drive["drive_id"], "on" if drive["is_read_only"] else "off"
            words += ["-drive", f"id={name},file={drive['path_on_host']},format=raw,if=none,readonly={only}"]
            words += ["-device", f"virtio-blk-device,drive={name},serial={name}"]
    link = body.get("/network-interfaces/out")
    if link:
        words += ["-netdev", f"tap,id=out,ifname={link['host_dev_name']},script=no,downscript=no", "-device", "virtio-net-device,netdev=out"]
    subprocess.Popen(words, pass_fds=[3, channel.fileno()], env={})


def serve(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    asks, _ = listener.accept()
    heard, told = asks.makefile("rb"), []
    while first := heard.readline():
        method, path, _ = first.decode().split(" ")
        headers = dict(line.decode().rstrip().lower().split(": ", 1) for line in iter(heard.readline, b"\r\n"))
        body = json.loads(heard.read(int(headers["content-length"])))
        wrong = complaint(path, body, told) if method == "PUT" else "Invalid request method and/or path"
        if MODE == f"refuses {path}":
            wrong = "as it was told to"
        told.append((path, body))
        with open("/run/told", "w") as record:
            json.dump(told, record)
        if path == "/actions" and not wrong:
            begin(told)
        text = json.dumps({"fault_message": wrong}) if wrong else ""
        length = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n" if wrong else ""
        asks.sendall(f"HTTP/1.1 {400 if wrong else 204} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n{length}\r\n{text}".encode())


def main(words):
    if words == ["--version"]:
        return print("Firecracker v1.13.1")
    if words[:2] == ["--no-api", "--config-file"]:
        with open(words[2]) as told:
            body = json.load(told)
        sane = complaint("/boot-source", body["boot-source"], []) is None and complaint("/machine-config", body["machine-config"], []) is None
        return print("it was not started" if MODE == "starts nothing" else "hello from inside" if sane else "configured wrongly")
    if words[0] == "--api-sock" and words[2] == "--id" and len(words) == 4:
        if MODE == "dies":
            sys.exit("its last words")
        return serve(words[1])
    sys.exit(f"unknown arguments {words}")


main(sys.argv[1:])
