package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of CPU times in /proc/<pid>/stat: USER_HZ, which
// is 100 on every Linux that Go runs on (proc(5)).
const ticksPerSecond = 100

// usage is what processes have used: CPU time since they started, memory now.
type usage struct {
	cpuSeconds float64
	rssBytes   int64
}

// CPUSeconds is the CPU time that processes have used since they started, in
// seconds, in steps of a hundredth. It fails where there is no /proc, and when
// one of them is gone.
func CPUSeconds(pids []int) (float64, error) {
	u, err := readUsage(pids)
	return u.cpuSeconds, err
}

// readUsage adds up processes. It fails where there is no /proc, and when one
// of them is gone.
func readUsage(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			return usage{}, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		cpu, err := parseStat(stat)
		if err != nil {
			return usage{}, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			return usage{}, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		rss, err := parseStatus(status)
		if err != nil {
			return usage{}, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		sum.cpuSeconds += cpu
		sum.rssBytes += rss
	}
	return sum, nil
}

// parseStat returns user and system time. The second field, the program's name
// in parentheses, may hold spaces and parentheses of its own.
func parseStat(stat []byte) (float64, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	const utime, stime = 14 - 3, 15 - 3 // numbered from 1 in proc(5); the first here is the third
	if end < 0 || len(fields) <= stime {
		return 0, errors.New("stat has too few fields")
	}
	ticks := 0.0
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		ticks += float64(n)
	}
	return ticks / ticksPerSecond, nil
}

// parseStatus returns the resident set in bytes.
func parseStatus(status []byte) (int64, error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		value, ok := strings.CutPrefix(lines.Text(), "VmRSS:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("status: %w", err)
		}
		return kib << 10, nil
	}
	return 0, errors.New("status has no VmRSS line")
}

// listenerOf finds the process that listens at a URL's address, when that is a
// loopback address of this machine and the process may be looked into. It
// returns 0 when none is found.
func listenerOf(base string) int {
	u, err := url.Parse(base)
	if err != nil {
		return 0
	}
	ip := net.ParseIP(u.Hostname())
	if u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, inode := range listening(text, port) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	if len(sockets) == 0 {
		return 0
	}
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0
	}
	for _, file := range files {
		target, err := os.Readlink(file)
		if err != nil || !sockets[target] {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err == nil {
			return pid
		}
	}
	return 0
}

// listening returns the inodes of the sockets that listen on a port, from the
// text of /proc/net/tcp or tcp6 (proc(5)).
func listening(table []byte, port int) []string {
	const local, state, inode, listen = 1, 3, 9, "0A"
	suffix := fmt.Sprintf(":%04X", port)
	var inodes []string
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > inode && fields[state] == listen && strings.HasSuffix(fields[local], suffix) {
			inodes = append(inodes, fields[inode])
		}
	}
	return inodes
}
