package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// body is what an address answers, over HTTP.
func body(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	client.Timeout = patience
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", url, resp.StatusCode, b)
	}
	return string(b)
}

// formed is the folder of a node that is not running.
func formed(t *testing.T) string {
	t.Helper()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1)
	c.stop(t)
	return filepath.Join(c.dir, "node-1")
}

func TestStartAnswersHTTP(t *testing.T) {
	t.Parallel()
	addr := loopback(freeBase(t, 1))
	n := launch(t, t.TempDir(), "start", "--dir", formed(t), "--log", "debug", "--log-format", "json", "--http-listen", addr)
	n.line(t, "raft role")
	eventually(t, func() error {
		resp, err := http.Get("http://" + addr + "/health/ready")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("ready: %d", resp.StatusCode)
		}
		return nil
	})
	text := body(t, http.DefaultClient, "http://"+addr+"/metrics")
	// The disk is a real one here, and so is the clock.
	for _, name := range []string{"tutti_storage_capacity_bytes ", "tutti_storage_available_bytes ", "tutti_start_time_seconds 1.", "tutti_storage_fsync_duration_seconds_count ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no %s in\n%s", name, text)
		}
	}
	n.signal(t, syscall.SIGTERM)
	if code := n.ends(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for line := range strings.Lines(n.text()) {
		var entry struct {
			Time time.Time
			Msg  string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "" || entry.Time.IsZero() {
			t.Errorf("%v: %s", err, line)
		}
	}
}

// Nobody on the way is to read or change what is told of a node.
func TestHTTPBeyondTheLoopbackIsTLS(t *testing.T) {
	t.Parallel()
	base := freeBase(t, 1)
	n := launch(t, t.TempDir(), "start", "--dir", formed(t), "--http-listen", fmt.Sprintf("0.0.0.0:%d", base))
	n.line(t, "raft role")
	var resp *http.Response
	eventually(t, func() (err error) {
		resp, err = http.Get("http://" + loopback(base) + "/metrics")
		return err
	})
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "HTTPS") {
		t.Errorf("plain HTTP is answered: %d %s", resp.StatusCode, b)
	}
}

// A service manager is told when the node serves, and when it begins to stop.
func TestStartTellsTheServiceManager(t *testing.T) {
	t.Parallel()
	dir := formed(t)
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	told := func() string {
		t.Helper()
		_ = sock.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 100)
		n, err := sock.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	addr := loopback(freeBase(t, 1))
	cmd := exec.Command(binary(t), "start", "--dir", dir, "--http-listen", addr)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+sock.LocalAddr().String())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	if s := told(); s != notifyReady {
		t.Fatalf("told %q", s)
	}
	// It serves at that moment, without another try.
	body(t, http.DefaultClient, "http://"+addr+"/health/live")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := told(); s != notifyStopping {
		t.Errorf("told %q", s)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
