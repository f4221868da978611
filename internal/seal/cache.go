package seal

import (
	"context"
	"crypto/cipher"
	"math"
	"slices"
	"sync"
	"time"

	"posthorn/internal/gather"
)

// cache keeps the data keys of tenants in memory, a bounded number of them and
// for a bounded time: whoever may not unwrap any more can open nothing soon
// after.
type cache struct {
	// load reads a tenant's key; makes says that a missing one is made.
	load    func(ctx context.Context, tenant string, makes bool) (cipher.AEAD, error)
	now     func() time.Time
	size    int
	keepFor time.Duration

	mu     sync.Mutex
	places map[string]*place
}

// place is one tenant's.
type place struct {
	// loads lets those who miss the key wait for one load, and share what became
	// of it.
	loads *gather.Group[bool, cipher.AEAD]

	mu    sync.Mutex
	key   cipher.AEAD // nil: none yet
	until time.Time
}

// get returns the tenant's key, unwrapped less than keepFor ago.
func (c *cache) get(ctx context.Context, tenant string, makes bool) (cipher.AEAD, error) {
	p := c.of(tenant)
	if key := p.at(c.now()); key != nil {
		return key, nil
	}
	return p.loads.Do(ctx, makes)
}

// of returns the tenant's place. Beyond the bound any other makes room.
func (c *cache) of(tenant string) *place {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.places[tenant]; p != nil {
		return p
	}
	if c.places == nil {
		c.places = make(map[string]*place)
	}
	for other := range c.places {
		if len(c.places) < c.size {
			break
		}
		delete(c.places, other)
	}
	p := &place{}
	p.loads = gather.New(gather.Options{Size: math.MaxInt}, func(ctx context.Context, makes []bool) []gather.Result[cipher.AEAD] {
		r := gather.Result[cipher.AEAD]{Value: p.at(c.now())}
		if r.Value == nil {
			began := c.now()
			if r.Value, r.Err = c.load(ctx, tenant, slices.Contains(makes, true)); r.Err == nil {
				p.set(r.Value, began.Add(c.keepFor))
			}
		}
		return slices.Repeat([]gather.Result[cipher.AEAD]{r}, len(makes))
	})
	c.places[tenant] = p
	return p
}

// at returns the key as long as it may be used.
func (p *place) at(now time.Time) cipher.AEAD {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.until) {
		p.key = nil
	}
	return p.key
}

func (p *place) set(key cipher.AEAD, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.until = key, until
}
