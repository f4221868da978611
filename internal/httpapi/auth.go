package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// guarded is a handler and who may call it. The route table makes one of each
// handler, with one of the functions below.
type guarded struct {
	handler handler
	open    bool        // nobody is asked for a key
	roles   []hook.Role // of the keys that it takes
	figures bool        // it counts all tenants: for keys of the default tenant alone
}

// open is for everybody, with or without a key.
func open(h handler) guarded { return guarded{handler: h, open: true} }

// admin is for administrators.
func admin(h handler) guarded { return guarded{handler: h, roles: []hook.Role{hook.RoleAdmin}} }

// produce is for those who post events.
func produce(h handler) guarded {
	return guarded{handler: h, roles: []hook.Role{hook.RoleAdmin, hook.RoleProducer}}
}

// view is for those who look at what there is.
func view(h handler) guarded {
	return guarded{handler: h, roles: []hook.Role{hook.RoleAdmin, hook.RoleViewer}}
}

// produceOrView is for both: producers may see again what they posted.
func produceOrView(h handler) guarded {
	return guarded{handler: h, roles: []hook.Role{hook.RoleAdmin, hook.RoleViewer, hook.RoleProducer}}
}

// everyone is for whoever has a key.
func everyone(h handler) guarded { return guarded{handler: h, roles: hook.Roles()} }

// operate is for those who watch the whole: what is shown counts all tenants.
func operate(h handler) guarded {
	return guarded{handler: h, roles: []hook.Role{hook.RoleAdmin, hook.RoleViewer, hook.RoleMetrics}, figures: true}
}

// caller is who makes a request. The zero caller, of a request that nobody was
// asked for, owns nothing.
type caller struct {
	keyID  string // empty: nobody is asked for a key
	tenant string
	role   hook.Role
	// expires is when the session ends; zero: the key itself was sent.
	expires time.Time
}

// callerKey is where a request's context holds its caller.
type callerKey struct{}

func callerOf(r *http.Request) caller {
	c, ok := r.Context().Value(callerKey{}).(caller)
	if !ok {
		return caller{}
	}
	return c
}

// tenantOf says whose things a request is about: the caller's own, and nobody
// else's.
func tenantOf(r *http.Request) string { return callerOf(r).tenant }

// guard makes a handler that lets those in who may call g. Whoever may not
// learns nothing but that: neither the path's id nor the body is looked at.
func (a *API) guard(g guarded) handler {
	if g.open {
		return g.handler
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.authenticate(r)
		if err != nil {
			if errors.Is(err, errUnauthorized) {
				w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750, section 3
			}
			return err
		}
		if !slices.Contains(g.roles, c.role) {
			return &problem{kind: kindForbidden, detail: "A key with the role " + string(c.role) + " may not do this."}
		}
		if g.figures && c.tenant != DefaultTenant {
			return &problem{kind: kindForbidden, detail: "These figures count all tenants; they are for keys of the tenant " + DefaultTenant + "."}
		}
		return g.handler(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	}
}

// errUnauthorized is the one answer to a request without a key, and to a key
// that is malformed, unknown or has another secret: what is wrong with a key
// would help those alone who guess.
var errUnauthorized = &problem{kind: kindUnauthorized}

// authenticate returns the caller by the key that a request carries, or else by
// its session. Where both are there the key counts.
func (a *API) authenticate(r *http.Request) (caller, error) {
	if a.o.Open {
		return caller{tenant: DefaultTenant, role: hook.RoleAdmin}, nil
	}
	text, err := keyText(r.Header)
	if err != nil {
		return caller{}, err
	}
	if text == "" {
		s, ok, err := a.sessionOf(r)
		if err != nil {
			return caller{}, err
		}
		if ok {
			c, err := a.callerByHash(r.Context(), s.keyID, s.hash)
			c.expires = s.expires
			return c, err
		}
	}
	c, _, err := a.callerByText(r.Context(), text)
	return c, err
}

// callerByText returns the caller whose key has that text, and the hash of its
// secret.
func (a *API) callerByText(ctx context.Context, text string) (c caller, hash [sha256.Size]byte, err error) {
	id, hash, ok := hook.ParseAPIKey(text)
	if !ok {
		return caller{}, hash, errUnauthorized
	}
	c, err = a.callerByHash(ctx, id, hash)
	return c, hash, err
}

// callerByHash returns the caller by the id of a key and the hash of its secret.
func (a *API) callerByHash(ctx context.Context, id string, hash [sha256.Size]byte) (caller, error) {
	k, err := a.keyring.key(ctx, id)
	if errors.Is(err, hook.ErrNotFound) {
		return caller{}, errUnauthorized
	}
	if err != nil {
		return caller{}, err
	}
	if subtle.ConstantTimeCompare(hash[:], k.Hash[:]) != 1 {
		return caller{}, errUnauthorized
	}
	return caller{keyID: k.ID, tenant: k.Tenant, role: k.Role}, nil
}

const apiKeyHeader = "X-API-Key"

// keyText returns the key in a request's headers, empty when there is none. An
// Authorization of another scheme than Bearer is none: it may be meant for
// somebody on the way.
func keyText(h http.Header) (string, error) {
	// A header that stands twice is one with a comma (RFC 9110, section 5.3),
	// which API Gateway makes of it, and which no key has.
	var bearer string
	scheme, token, _ := strings.Cut(strings.Join(h.Values("Authorization"), ","), " ")
	if strings.EqualFold(scheme, "Bearer") { // RFC 9110, section 11.1
		bearer = strings.TrimSpace(token)
	}
	key := strings.Join(h.Values(apiKeyHeader), ",")
	switch {
	case key == "":
		return bearer, nil
	case bearer == "" || bearer == key:
		return key, nil
	}
	return "", &hook.InvalidError{Field: apiKeyHeader, Code: "key_mismatch", Reason: "differs from the key in Authorization; one of the two is enough"}
}

const (
	// keyAge is how long a key counts without being looked up again, and so how
	// long one that was revoked may live on.
	keyAge = time.Minute
	// absentAge is how long an id that names no key is not looked up again.
	absentAge = 10 * time.Second
	// maxKeys bounds what is remembered of each kind.
	maxKeys = 1000
	// Unknown ids are looked up at most so many at once, and so many a second
	// from then on.
	unknownBurst = 100
	unknownRate  = 10
)

// keyring finds keys by id and remembers them for a while, so that a request
// does not cost a read of the table. Whoever makes ids up can neither push out
// those that exist nor make the table be read without bound.
type keyring struct {
	keys Keys
	now  func() time.Time

	mu      sync.Mutex
	known   map[string]knownKey
	absent  map[string]time.Time // ids that named no key, and when that was
	unknown float64              // how many more of those may be looked up
	filled  time.Time            // when unknown was last added to
}

// knownKey is a key as it was at a moment. One that is too old to count is kept
// all the same: whoever has been met may be looked up again at any time.
type knownKey struct {
	key  *hook.APIKey
	seen time.Time
}

func newKeyring(keys Keys, now func() time.Time) *keyring {
	return &keyring{keys: keys, now: now, known: map[string]knownKey{}, absent: map[string]time.Time{}, unknown: unknownBurst}
}

// key returns the key with that id as it was keyAge ago or later;
// hook.ErrNotFound when there was none.
func (k *keyring) key(ctx context.Context, id string) (*hook.APIKey, error) {
	// By the clock on the wall: the one that only counts stands still while a
	// Lambda environment is frozen.
	now := k.now().Round(0)
	found, paid, err := k.remembered(id, now)
	if found != nil || err != nil {
		return found, err
	}
	found, err = k.keys.APIKey(ctx, id)
	k.mu.Lock()
	defer k.mu.Unlock()
	if paid && !errors.Is(err, hook.ErrNotFound) {
		k.unknown++
	}
	switch {
	case errors.Is(err, hook.ErrNotFound):
		delete(k.known, id)
		remember(k.absent, id, now)
		return nil, err
	case err != nil:
		return nil, err
	}
	// It counts from before it was read: it may have been revoked since.
	remember(k.known, id, knownKey{key: found, seen: now})
	return found, nil
}

// remembered returns a key without looking it up, or an error where it may not
// be; neither where it has to be looked up. paid says that the look-up is one of
// an id never met, of which there are so many: it is given back when it finds a
// key.
func (k *keyring) remembered(id string, now time.Time) (found *hook.APIKey, paid bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, met := k.known[id]; met {
		if younger(e.seen, now, keyAge) {
			return e.key, false, nil
		}
		return nil, false, nil
	}
	if at, ok := k.absent[id]; ok && younger(at, now, absentAge) {
		return nil, false, hook.ErrNotFound
	}
	if since := now.Sub(k.filled).Seconds(); since > 0 {
		k.unknown = min(k.unknown+since*unknownRate, unknownBurst)
	}
	k.filled = now
	if k.unknown < 1 {
		return nil, false, &problem{kind: kindUnknownKeys}
	}
	k.unknown--
	return nil, true, nil
}

// forget lets a key count no longer.
func (k *keyring) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, id)
}

// younger says whether at is less than age ago. A clock that was set back says
// no.
func younger(at, now time.Time, age time.Duration) bool {
	ago := now.Sub(at)
	return ago >= 0 && ago < age
}

// remember puts an entry into a map of at most maxKeys. Where it is full, any
// other goes: which one that is cannot be foreseen, so no order of calls makes
// it the wrong one every time.
func remember[V any](m map[string]V, id string, v V) {
	if _, there := m[id]; !there && len(m) >= maxKeys {
		for other := range m {
			delete(m, other)
			break
		}
	}
	m[id] = v
}
