# The worker pool, the job, and their accounts.
mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = { email = "mocked@my-project.iam.gserviceaccount.com" }
  }
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092"
  image             = "europe-docker.pkg.dev/my-project/images/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  project_id        = "my-project"
  location          = "europe-west3"
  network           = { subnetwork = "main" }
}

run "smallest" {
  command = apply

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].env : e.name => e.value if length(e.value_source) == 0 } == { KAFKA_BOOTSTRAP_SERVERS = "broker-1.example.com:9092", SUBSCRIPTION_ID = "orders-to-billing", SUBSCRIPTION_SOURCE = "kafka://my-cluster/orders", SUBSCRIPTION_SINK = "https://billing.example.com/orders" }
    error_message = "What nobody asked for is rendered."
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.this[0].scaling[0].manual_instance_count == 1 && google_cloud_run_v2_worker_pool.this[0].deletion_protection && google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].liveness_probe[0].http_get[0].path == "/live"
    error_message = "The worker pool is another one."
  }

  assert {
    condition     = length(google_cloud_run_v2_job.this) == 0 && length(google_secret_manager_secret_iam_member.this) == 0
    error_message = "There is what nobody asked for."
  }
}

run "secrets" {
  command = apply

  variables {
    secrets = { KAFKA_OPTION_SASL_PASSWORD = { secret = "kafka-password", version = "3" }, HANDLER_HEADERS = { secret = "projects/other/secrets/headers", version = "latest" } }
  }

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].env : e.name => "${e.value_source[0].secret_key_ref[0].secret} ${e.value_source[0].secret_key_ref[0].version}" if length(e.value_source) > 0 } == { KAFKA_OPTION_SASL_PASSWORD = "kafka-password 3", HANDLER_HEADERS = "projects/other/secrets/headers latest" }
    error_message = "The instances get other secrets."
  }

  assert {
    condition     = { for id, m in google_secret_manager_secret_iam_member.this : id => "${m.project} ${m.role}" } == { kafka-password = "my-project roles/secretmanager.secretAccessor", "projects/other/secrets/headers" = "other roles/secretmanager.secretAccessor" }
    error_message = "The account may read other secrets."
  }
}

run "schedule" {
  command = apply

  variables {
    schedule = { expression = "0 3 * * *", timezone = "Europe/Berlin", end_at = "latest" }
  }

  assert {
    condition     = length(google_cloud_run_v2_worker_pool.this) == 0
    error_message = "There is a worker pool, too."
  }

  assert {
    condition     = contains([for e in google_cloud_run_v2_job.this[0].template[0].template[0].containers[0].env : "${e.name}=${e.value}"], "END_AT=latest")
    error_message = "The job would run for ever."
  }

  assert {
    condition     = google_cloud_scheduler_job.this[0].http_target[0].uri == "https://run.googleapis.com/v2/projects/my-project/locations/europe-west3/jobs/orders-to-billing:run" && google_cloud_run_v2_job_iam_member.schedule[0].role == "roles/run.invoker"
    error_message = "Something else is started."
  }
}

run "long_names" {
  command = apply

  variables {
    name = "a23456789-123456789-123456789-123456789"
  }

  assert {
    condition     = length(google_service_account.this[0].account_id) == 30
    error_message = "The account has an id that Google refuses."
  }
}
