package chaos

import (
	"bytes"
	"sync/atomic"
)

// planted is in everything that no log may show: the endpoints' secrets, the
// values of their own headers, the queries of their URLs, the payloads, and the
// bodies of the receivers' answers.
const planted = "planted"

// secrecy reads every line that the functions and the account write, at debug
// level, and has it noted where it shows what it must not.
type secrecy struct {
	ledger *ledger
	key    []byte // the secret part of the API key that the run calls with
	lines  atomic.Int64
}

// read is given what who wrote, a line or more.
func (s *secrecy) read(who string, b []byte) {
	for line := range bytes.Lines(b) {
		s.lines.Add(1)
		for _, mark := range [][]byte{[]byte(planted), s.key} {
			if len(mark) > 0 && bytes.Contains(line, mark) {
				s.ledger.wrongf("a line of the log of %s shows what it must not: %.500q", who, line)
				break
			}
		}
	}
}
