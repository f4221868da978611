package lifetest

import (
	"fmt"
	"sort"
	"sync"
	"testing"
)

var stMu sync.Mutex
var st = map[string]int{}

func stat(k string) { stMu.Lock(); st[k]++; stMu.Unlock() }
func TestZStats(t *testing.T) {
	var ks []string
	for k := range st {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	for _, k := range ks {
		fmt.Println(k, st[k])
	}
}
