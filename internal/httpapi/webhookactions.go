package httpapi

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"time"

	"posthorn/internal/hook"
)

const (
	// maxSecrets is how many secrets of an endpoint may sign at the same time.
	maxSecrets     = 5
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 30 * 24 * 60 * 60 // seconds
)

// rotateSecret gives an endpoint a new secret. The ones it has sign on until
// their overlap is over, so that its owner can change over at leisure.
func (a *API) rotateSecret(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return err
	}
	secret, overlap := "", defaultOverlap
	err = optionalObject(w, r, func(name, value []byte) (err error) {
		switch {
		case isNull(value) && (string(name) == "secret" || string(name) == "overlap"):
		case string(name) == "secret":
			secret, err = secretValue(value)
		case string(name) == "overlap":
			var seconds int
			seconds, err = wholeNumber("overlap", value, 0, maxOverlap)
			overlap = time.Duration(seconds) * time.Second
		default:
			err = unknownField(name, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	tenant := tenantOf(r)
	before, err := a.o.Endpoints.Endpoint(r.Context(), tenant, id)
	if err != nil {
		return named(err, "endpoint") // before anything is sealed for it
	}
	state, err := a.o.Endpoints.EndpointState(r.Context(), tenant, id)
	if err != nil {
		return err // before anything is changed that would go unanswered
	}
	given := secret != ""
	if given {
		err = a.isAnother(r, before, secret)
	} else {
		secret, err = a.o.NewSecret()
	}
	if err != nil {
		return err
	}
	sealed, err := a.o.Sealer.Seal(r.Context(), tenant, id, []byte(secret))
	if err != nil {
		return err
	}
	now := a.o.Now().UTC().Truncate(time.Millisecond)
	e, err := a.o.Endpoints.UpdateEndpoint(r.Context(), tenant, id, func(e *hook.Endpoint) error {
		if given && !slices.EqualFunc(e.Secrets, before.Secrets, sameSecret) {
			return hook.ErrConflict // it may be among them by now
		}
		e.UpdatedAt = now
		return rotate(e, hook.SealedSecret{Sealed: sealed}, now, overlap)
	})
	if err != nil {
		return named(err, "endpoint")
	}
	a.logChange(r, "endpoint secret rotated", id)
	shown := answerEndpoint(e, state)
	shown.Secret = secret
	return a.answer(w, r, http.StatusOK, shown)
}

// isAnother refuses a secret that signs already: nothing would be rotated, and
// what was to end would sign on.
func (a *API) isAnother(r *http.Request, e *hook.Endpoint, secret string) error {
	now := a.o.Now()
	for _, s := range e.Secrets {
		if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
			continue
		}
		plain, err := a.o.Sealer.Open(r.Context(), e.Tenant, e.ID, s.Sealed)
		switch {
		case errors.Is(err, hook.ErrSealed): // one that cannot be opened signs nothing
		case err != nil:
			return err
		case subtle.ConstantTimeCompare(plain, []byte(secret)) == 1:
			return &problem{kind: kindSameSecret, field: "secret"}
		}
	}
	return nil
}

func sameSecret(a, b hook.SealedSecret) bool {
	return bytes.Equal(a.Sealed, b.Sealed) && a.ExpiresAt.Equal(b.ExpiresAt)
}

// rotate puts a secret before those that still sign, which end after the
// overlap, or earlier where they were to.
func rotate(e *hook.Endpoint, fresh hook.SealedSecret, now time.Time, overlap time.Duration) error {
	end := now.Add(overlap)
	signing := slices.DeleteFunc(slices.Clone(e.Secrets), func(s hook.SealedSecret) bool {
		return !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now)
	})
	for i := range signing {
		if signing[i].ExpiresAt.IsZero() || signing[i].ExpiresAt.After(end) {
			signing[i].ExpiresAt = end
		}
	}
	if overlap == 0 {
		signing = nil
	}
	if len(signing) >= maxSecrets {
		return hook.ErrTooManySecrets
	}
	e.Secrets = append([]hook.SealedSecret{fresh}, signing...)
	return nil
}

// testEndpoint sends a test event to one endpoint.
func (a *API) testEndpoint(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	e, err := a.o.Endpoints.Endpoint(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "endpoint")
	}
	accepted, err := a.o.Ingest.Test(r.Context(), e)
	if err != nil {
		return err
	}
	a.write(w, r, http.StatusAccepted, "application/json", appendEvent(nil, accepted.Event, false))
	return nil
}

// pauseEndpoint lets deliveries to an endpoint be held.
func (a *API) pauseEndpoint(w http.ResponseWriter, r *http.Request) error {
	e, _, err := a.setStatus(w, r, hook.EndpointPaused, func(e *hook.Endpoint) { e.SetStatus(hook.EndpointPaused, "paused by its owner") })
	if err != nil {
		return err
	}
	// What its breaker was before says nothing of it while it is paused.
	return a.answer(w, r, http.StatusOK, answerEndpoint(e, hook.EndpointState{}))
}

// resumeEndpoint makes an endpoint active again, closes its breaker, and starts the
// release of what is held.
func (a *API) resumeEndpoint(w http.ResponseWriter, r *http.Request) error {
	e, before, err := a.setStatus(w, r, hook.EndpointActive, (*hook.Endpoint).Resume)
	if err != nil {
		return err
	}
	j := &hook.Job{Tenant: e.Tenant, Kind: hook.JobResume, EndpointID: e.ID, Epoch: e.Epoch}
	if err := a.o.Jobs.Start(r.Context(), j); err != nil {
		// Nothing would release what is held, and an endpoint that shows itself as
		// active asks nobody to resume it once more.
		return errors.Join(err, a.undoResume(r.Context(), j, before.Status, before.StatusReason))
	}
	return a.answerStarted(w, r, j)
}

// setStatus has set give an endpoint a status, and returns it with what it was
// before.
func (a *API) setStatus(w http.ResponseWriter, r *http.Request, status hook.EndpointStatus, set func(*hook.Endpoint)) (e *hook.Endpoint, before hook.Endpoint, err error) {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return nil, hook.Endpoint{}, err
	}
	if err := noBody(w, r); err != nil {
		return nil, hook.Endpoint{}, err
	}
	now := a.o.Now().UTC().Truncate(time.Millisecond)
	e, err = a.o.Endpoints.UpdateEndpoint(r.Context(), tenantOf(r), id, func(e *hook.Endpoint) error {
		before = *e
		set(e)
		e.UpdatedAt = now
		return nil
	})
	if err != nil {
		return nil, hook.Endpoint{}, named(err, "endpoint")
	}
	a.logChange(r, "endpoint "+string(status), id)
	return e, before, nil
}

// recoverEndpoint starts sending again what ended dead at an endpoint.
func (a *API) recoverEndpoint(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return err
	}
	var since time.Time
	err = readObject(w, r, func(name, value []byte) (err error) {
		if string(name) != "since" {
			return unknownField(name, value)
		}
		since, err = timeValue("since", value)
		return err
	})
	if err != nil {
		return err
	}
	if since.IsZero() {
		return missing("since")
	}
	e, err := a.o.Endpoints.Endpoint(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "endpoint")
	}
	return a.startJob(w, r, &hook.Job{Tenant: e.Tenant, Kind: hook.JobRecover, EndpointID: e.ID, Since: since})
}
