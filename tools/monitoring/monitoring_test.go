package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

// exported are the labels of each series that Posthorn exports, with the values
// that the label may have; none: any. A test of internal/metrics holds the file
// to be what the code writes.
func exported(t *testing.T) map[string]map[string][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "internal/metrics/testdata/metrics.txt"))
	require.NoError(t, err)
	defer f.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(f)
	require.NoError(t, err)
	series := map[string]map[string][]string{"up": {"job": {"posthorn"}, "instance": nil}} // Prometheus's own
	for name, family := range families {
		require.NotEmpty(t, family.GetHelp(), name)
		with := map[string][]string{}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				with[l.GetName()] = append(with[l.GetName()], l.GetValue())
			}
		}
		if _, ok := with["event_type"]; ok {
			with["event_type"] = nil
		}
		if family.GetMetric()[0].GetHistogram() == nil {
			series[name] = with
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			series[name+part] = with
		}
		series[name+"_bucket"] = map[string][]string{"le": nil}
	}
	return series
}

var promql = parser.NewParser(parser.Options{})

// requireExported parses an expression and checks what it names.
func requireExported(t *testing.T, series map[string]map[string][]string, text string) {
	t.Helper()
	// Grafana puts in a duration.
	expr, err := promql.ParseExpr(strings.ReplaceAll(text, "$__rate_interval", "1m"))
	require.NoError(t, err, text)
	var allowed []string // labels that a grouping may name
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		with, ok := series[s.Name]
		require.True(t, ok, "%s is not exported: %s", s.Name, text)
		for label := range with {
			allowed = append(allowed, label)
		}
		for _, m := range s.LabelMatchers {
			if m.Name == labels.MetricName {
				continue
			}
			values, ok := with[m.Name]
			require.True(t, ok, "%s has no label %s: %s", s.Name, m.Name, text)
			require.True(t, values == nil || slices.ContainsFunc(values, m.Matches), "%s is never %s: %s", m.Name, m.Value, text)
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, label := range a.Grouping {
				require.Contains(t, allowed, label, text)
			}
		}
		return nil
	})
}

func TestPrometheusTakesItsConfiguration(t *testing.T) {
	dir := filepath.Join(root, "deploy/prometheus")
	c, err := config.LoadFile(filepath.Join(dir, "prometheus.yml"), false, nil)
	require.NoError(t, err)
	require.Len(t, c.RuleFiles, 1)
	require.FileExists(t, c.RuleFiles[0])
	require.Len(t, c.ScrapeConfigs, 1)
	require.Equal(t, "posthorn", c.ScrapeConfigs[0].JobName)
	require.Equal(t, "/metrics", c.ScrapeConfigs[0].MetricsPath)
}

func TestAlertsAreOfWhatIsExported(t *testing.T) {
	groups, errs := rulefmt.ParseFile(filepath.Join(root, "deploy/prometheus/alerts.yaml"), false, model.UTF8Validation, promql, nil)
	require.Empty(t, errs)
	series := exported(t)
	runbook, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	require.NoError(t, err)
	seen := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			seen++
			require.NotEmpty(t, r.Alert)
			requireExported(t, series, r.Expr)
			require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			_, anchor, ok := strings.Cut(r.Annotations["runbook"], "docs/operations.md")
			require.True(t, ok, r.Alert)
			heading := "# " + strings.ReplaceAll(strings.TrimPrefix(anchor, "#"), "-", " ")
			require.Contains(t, strings.ToLower(string(runbook)), heading, "the runbook of %s", r.Alert)
		}
	}
	require.Positive(t, seen)
}

func TestTheGrafanaDashboardIsOfWhatIsExported(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "deploy/grafana/posthorn.json"))
	require.NoError(t, err)
	var dashboard struct {
		UID, Title string
		Panels     []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct {
				RefID        string `json:"refId"`
				Expr         string
				LegendFormat string
			}
		}
	}
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	require.NotEmpty(t, dashboard.UID)
	series, ids, shown := exported(t), map[int]bool{}, ""
	for _, p := range dashboard.Panels {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			requireExported(t, series, target.Expr)
			shown += target.Expr + "\n"
			if label, ok := strings.CutPrefix(target.LegendFormat, "{{"); ok {
				require.Contains(t, target.Expr+" status", strings.TrimSuffix(label, "}}"), p.Title)
			}
		}
	}
	for name := range series {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if name != "up" && name != "webhook_queue_size" { // ready and delayed together, which are shown apart
			require.Contains(t, shown, base, "the dashboard shows %s", name)
		}
	}
}

// A check that lets everything through would be none.
func TestWhatIsNotExportedIsRefused(t *testing.T) {
	series := exported(t)
	require.Contains(t, series, "webhook_lag_seconds")
	require.Contains(t, series["webhook_attempts_total"]["outcome"], "http_error")
	require.NotContains(t, series, "webhook_delivery_duration_seconds")
	_, err := promql.ParseExpr("sum(rate(webhook_events_total[5m])")
	require.Error(t, err)
}

// What Grafana is told of has to be where compose.yaml puts it.
func TestGrafanaFindsItsDashboardAndItsPrometheus(t *testing.T) {
	decode := func(file string, into any) {
		raw, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		d := yaml.NewDecoder(strings.NewReader(string(raw)))
		require.NoError(t, d.Decode(into), file)
	}
	var compose struct {
		Services map[string]struct {
			Hostname    string
			NetworkMode string `yaml:"network_mode"`
			Profiles    []string
			Ports       []string
			Volumes     []string
		}
	}
	decode("compose.yaml", &compose)
	prometheus, grafana := compose.Services["prometheus"], compose.Services["grafana"]
	require.Equal(t, []string{"monitoring"}, prometheus.Profiles)
	require.Equal(t, []string{"monitoring"}, grafana.Profiles)
	mounted := func(volumes []string) map[string]string { // where, by what
		at := map[string]string{}
		for _, v := range volumes {
			parts := strings.Split(v, ":")
			if strings.HasPrefix(parts[0], "./") {
				_, err := os.Stat(filepath.Join(root, parts[0]))
				require.NoError(t, err, v)
				require.Equal(t, "ro", parts[len(parts)-1], v)
			}
			at[parts[0]] = parts[1]
		}
		return at
	}

	// Prometheus's image reads /etc/prometheus/prometheus.yml. It shares the network
	// of posthorn, and so scrapes it on its own localhost and is reached by its name.
	require.Equal(t, "/etc/prometheus", mounted(prometheus.Volumes)["./deploy/prometheus"])
	require.Equal(t, "service:posthorn", prometheus.NetworkMode)
	require.Empty(t, prometheus.Ports, "a container without a network of its own publishes none")
	var scrape struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	decode("deploy/prometheus/prometheus.yml", &scrape)
	require.Equal(t, []string{"localhost:8000"}, scrape.ScrapeConfigs[0].StaticConfigs[0].Targets)

	var sources struct {
		Datasources []struct {
			UID, Type, URL string
			IsDefault      bool `yaml:"isDefault"`
		}
	}
	at := mounted(grafana.Volumes)
	require.Equal(t, "/etc/grafana/provisioning", at["./deploy/grafana/provisioning"])
	found, err := filepath.Glob(filepath.Join(root, "deploy/grafana/provisioning/datasources/*.yaml"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	decode(strings.TrimPrefix(found[0], root+"/"), &sources)
	require.Len(t, sources.Datasources, 1)
	source := sources.Datasources[0]
	require.Equal(t, "prometheus", source.Type)
	require.Equal(t, "http://"+compose.Services["posthorn"].Hostname+":9090", source.URL)

	var providers struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	found, err = filepath.Glob(filepath.Join(root, "deploy/grafana/provisioning/dashboards/*.yaml"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	decode(strings.TrimPrefix(found[0], root+"/"), &providers)
	require.Len(t, providers.Providers, 1)
	require.Equal(t, "file", providers.Providers[0].Type)
	require.Equal(t, providers.Providers[0].Options.Path+"/posthorn.json", at["./deploy/grafana/posthorn.json"])

	// The dashboard asks the source that is provisioned: by a variable, whose
	// choices are all sources of the type, and of which it is the default.
	require.True(t, source.IsDefault)
	raw, err := os.ReadFile(filepath.Join(root, "deploy/grafana/posthorn.json"))
	require.NoError(t, err)
	var dashboard map[string]any
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	variable := dashboard["templating"].(map[string]any)["list"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"datasource", "datasource", source.Type}, []any{variable["name"], variable["type"], variable["query"]})
	asked := datasources(dashboard)
	require.NotEmpty(t, asked)
	for _, a := range asked {
		require.Equal(t, map[string]any{"type": source.Type, "uid": "${datasource}"}, a)
	}
}

// datasources are all that a dashboard's panels and targets name.
func datasources(of any) (all []map[string]any) {
	switch v := of.(type) {
	case map[string]any:
		for name, field := range v {
			if d, ok := field.(map[string]any); ok && name == "datasource" {
				all = append(all, d)
				continue
			}
			all = append(all, datasources(field)...)
		}
	case []any:
		for _, one := range v {
			all = append(all, datasources(one)...)
		}
	}
	return all
}
